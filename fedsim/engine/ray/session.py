"""One Ray session for one process: started apart from every other on the machine, and cleared away afterwards."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fedsim.core import CapacityError, ClusterLostError
from fedsim.core.system.signals import listener
from fedsim.engine.ray import reaper
from fedsim.engine.ray.cluster import check_versions, knock
from fedsim.engine.ray.reaper import MARK, clear, processes

PINNED = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
}
"""What every process of a run sees: one thread per host, so that bits do not depend on the number of cores."""

LOCAL = {"RAY_worker_register_timeout_seconds": "300"}
"""What the processes of a session of our own see besides: a busy machine takes long to start them."""
START_S = 300.0
"""A session may take so long to start as long as its processes live."""

chatter = logging.getLogger(__name__)


@dataclass(frozen=True)
class RaySession:
    """A live Ray session: its address, and for a local one the folder where it keeps its sockets and logs."""

    address: str
    folder: Path | None

    @property
    def log(self) -> str:
        """Where Ray's own chatter went."""
        return str(self.folder / "session_latest" / "logs") if self.folder else "on the cluster"


@contextmanager
def session(address: str, cpus: int, log: Path | None = None) -> Iterator[RaySession]:
    """Open a Ray session and close it on the way out, however that happens.

    `local` starts one of its own, in a short folder of its own (a socket's path has at most 107 bytes), and never
    joins a session that happens to run on this machine; any other address is that of a cluster. One of its own listens
    on the loopback interface only, and to nobody without its random token.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in PINNED.items()})
    import ray

    folder = Path(tempfile.mkdtemp(prefix="fs-", dir="/tmp")) if address == "local" else None
    watcher = None if folder is None else _reaper(folder)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if folder is not None:
        cores = max(cpus, os.cpu_count() or 1)
        quiet |= {"num_cpus": cores, "include_dashboard": False, "_temp_dir": str(folder)}
    elif address != "auto":
        knock(address)
    before = dict(os.environ)
    try:
        with listener().shielded(), warnings.catch_warnings():  # half a session could not be shut down
            warnings.simplefilter("ignore")  # Ray warns about its own future
            _mute()
            if folder is None:
                ray.init(address=address, namespace="fedsim", **quiet)
            else:
                _with_token({**LOCAL, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})
                start(folder, lambda: ray.init(address=address, namespace="fedsim", **quiet))
            listener().listen_again()
        if folder is None:
            check_versions()
        yield RaySession(address, folder)
    except (ConnectionError, TimeoutError) as error:
        raise ClusterLostError(f"no Ray cluster at {address}: {error}") from error
    except RuntimeError as error:
        if "ersion mismatch" in str(error):  # of Ray or Python, as Ray finds it
            raise ClusterLostError(f"the Ray cluster at {address} has other software: {error}") from error
        raise
    except ValueError as error:
        if "object_store_memory" in str(error) or "num_gpus" in str(error):
            raise CapacityError(f"Ray could not start: {error}") from error
        raise
    finally:
        with listener().shielded(), no_collection(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # Ray does not wait for the processes it ends
            ray.shutdown()
        if folder is not None and watcher is not None:
            os.environ.pop(MARK, None)
            for name in (*LOCAL, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
                os.environ.pop(name, None)
            _with_token({name: before[name] for name in (*LOCAL, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN") if name in before})
            if log is not None:
                _keep_logs(folder, log)
            clear(str(folder))
            watcher.communicate()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()


def _with_token(environment: dict[str, str]) -> None:
    """Put variables into the environment, which Ray's processes inherit, and let Ray read its settings anew."""
    from ray import _raylet

    os.environ.update(environment)
    core: Any = _raylet
    core.AuthenticationTokenLoader.instance().reset_cache()
    core.Config.initialize("")


def start(folder: Path, init: Callable[[], Any]) -> None:
    """Start a session in `folder` on the loopback interface: wait while its processes live, and try twice.

    Ray itself gives up after half a minute, however much is going on. Its processes stand apart from the terminal,
    whose signals are for the driver: it ends them in order, and a raylet that hears them, too, would take it along.

    Raises
    ------
    ClusterLostError : it did not start, twice.
    """
    import ray
    from ray._private import ray_constants, services

    known: Callable[..., Any] = services.get_node

    def patiently(*arguments: Any) -> Any:
        began = time.monotonic()
        while True:
            try:
                return known(*arguments)
            except RuntimeError:
                if time.monotonic() - began > START_S or not any(processes(str(folder))):
                    raise
                time.sleep(0.2)

    apart = partial(services.ConsolePopen, start_new_session=True)
    with (
        patch.object(ray_constants, "ENABLE_RAY_CLUSTER", False),
        patch.object(services, "get_node", patiently),
        patch.object(services, "ConsolePopen", apart),
    ):
        for last in (False, True):
            try:
                init()
                return
            except ValueError:
                raise
            except Exception as error:  # Ray raises no narrower kind
                if last:
                    raise ClusterLostError(f"Ray did not start on this machine, twice: {error}") from error
                ray.shutdown()
                clear(str(folder))
                folder.mkdir(mode=0o700)


def _mute() -> None:
    """Keep what Ray prints of lost workers, with pages of its own state, out of the terminal: the run tells of them."""
    from ray._private import worker

    worker.print_to_stdstream = lambda data, ignore_prefix: chatter.debug("%s", data["lines"])


def _reaper(folder: Path) -> subprocess.Popen[bytes]:
    """Start the process that clears up after this session even if we are killed; mark what will belong to it."""
    os.environ[MARK] = str(folder)
    command = [sys.executable, "-E", "-S", reaper.__file__, str(folder)]
    # a session of its own, so that Ctrl-C in a terminal does not reach it
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the garbage collector still while Ray shuts down.

    A forgotten reference that another thread collects in that moment reaches for a core that is gone, and Ray answers
    by ending the process without a word.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _keep_logs(folder: Path, log: Path) -> None:
    """Gather what Ray's processes wrote to their error streams into one file of the run folder."""
    texts = []
    for path in sorted((folder / "session_latest" / "logs").glob("*.err")):
        text = path.read_text(errors="replace").strip()
        if text:
            texts.append(f"== {path.name}\n{text}\n")
    if texts and log.parent.is_dir():
        log.write_text("\n".join(texts))
