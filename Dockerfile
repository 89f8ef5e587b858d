# One image for every role: head, workers, driver, metrics page.
#   docker build -t fedsim:cpu .
#   docker build -t fedsim:cuda --build-arg VARIANT=cuda .
# Ray wants the same Python down to the patch on every machine, and bits want the same wheels: all is pinned.
FROM python:3.11.7-slim-bookworm

# cpu: wheels without CUDA, 200 MB; cuda: PyPI's own, which bring CUDA's libraries and need only the host's driver
ARG VARIANT=cpu

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    MKL_CBWR=AVX2 \
    RAY_USAGE_STATS_ENABLED=0 \
    FLWR_TELEMETRY_ENABLED=0 \
    FLWR_DISABLE_UPDATE_CHECK=1

WORKDIR /opt/fedsim
COPY deploy/constraints.txt deploy/constraints.txt
RUN case "$VARIANT" in \
      cpu) pip install -c deploy/constraints.txt --index-url https://download.pytorch.org/whl/cpu torch ;; \
      cuda) pip install -c deploy/constraints.txt torch ;; \
      *) echo "VARIANT is cpu or cuda, got $VARIANT" >&2; exit 1 ;; \
    esac
COPY pyproject.toml README.md LICENSE ./
COPY deploy/README.md deploy/README.md
COPY fedsim fedsim
COPY strategies strategies
COPY clients clients
RUN pip install -c deploy/constraints.txt ".[postgres,tensorboard]"

RUN useradd --create-home --uid 10001 fedsim && install -d -o fedsim /home/fedsim/runs
COPY --chown=fedsim scenarios /home/fedsim/scenarios
USER fedsim
WORKDIR /home/fedsim
ENTRYPOINT []
CMD ["fedsim", "--help"]
