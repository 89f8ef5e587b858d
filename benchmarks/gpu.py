"""Lanes on a GPU: lane 1 against auto for W1 to W3 and ResNet-18. Run: python -m benchmarks.gpu [--save].

Examples a second, the device memory that a round takes, and whether one and two hosts that share the GPU end with the
same bits. Without CUDA nothing is measured. `--device cpu` goes through the same code, to try the script itself.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from benchmarks.report import circumstances, save, table
from benchmarks.workloads import WORKLOADS, Workload
from fedsim.clients.training import Trainer
from fedsim.core import LocalWork
from fedsim.models.resnet18_gn import ResNet18

CASES = WORKLOADS | {
    "ResNet-18": Workload(ResNet18(), (3, 32, 32), 40, 10, 100, LocalWork(batch_size=20, lr=0.05), ("auto", 1))
}


def rate(workload: Workload, lane: object, device: str, seconds: float) -> tuple[str, float, float]:
    """Return how the cohort was trained, examples a second (median over rounds), and peak device memory in GB."""
    trainer = Trainer(workload.model, replace(workload.work, lane=lane), workload.data(), 1, device)
    params, stream = trainer.initial(), np.random.default_rng(1)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    taken: list[float] = []
    end = perf_counter() + seconds
    while perf_counter() < end or len(taken) < 3:
        cohort = np.sort(stream.choice(workload.clients, workload.cohort, replace=False))
        began = perf_counter()
        examples = sum(int(result.examples.sum()) for result in trainer.lanes(params, cohort, len(taken) + 1))
        taken.append((perf_counter() - began) / examples)  # deltas are on the host: the device has finished
    memory = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0
    return f"{trainer.plan.kernel}, {trainer.plan.lane} a lane", 1 / median(taken[1:]), memory


def same_bits(workload: Workload, device: str) -> bool:
    """Return whether one and two hosts give the same parameters after three rounds."""
    import fedsim

    with tempfile.TemporaryDirectory() as folder:
        data = workload.write(Path(folder) / "data.npz")
        found = set()
        for hosts in (1, 2):
            share = 1 / hosts if device == "cuda" else 0.0
            engine = {"kind": "ray", "nodes": 2, "hosts": hosts, "gpus_per_host": share}
            run = fedsim.run(workload.scenario(data, 3, engine), out=Path(folder) / str(hosts))
            found.add(run.summary["params_sha256"])
    return len(found) == 1


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--seconds", type=float, default=5.0, help="per case and lane")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--save", action="store_true", help="put the table into benchmarks/results.md")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here: this benchmark needs one (--device cpu only tries the script)")
    rows = []
    for name in given.cases or CASES:
        workload = CASES[name]
        slow, fast = (rate(workload, lane, given.device, given.seconds) for lane in (1, "auto"))
        bits = "yes" if same_bits(workload, given.device) else "NO"
        speedup = f"{fast[1] / slow[1]:.1f}"
        rows.append([name, fast[0], f"{slow[1]:,.0f}", f"{fast[1]:,.0f}", speedup, f"{fast[2]:.2f}", bits])
        print(rows[-1], file=sys.stderr)
    header = [
        "",
        "auto is",
        "examples/s, lane 1",
        "examples/s, auto",
        "times",
        "GB on the device",
        "same bits, 1 and 2 hosts",
    ]
    device = torch.cuda.get_device_name() if given.device == "cuda" else "cpu"
    text = f"{table(header, rows)}\n\nOn {device}. {circumstances()}."
    print(text)
    if given.save:
        save("GPU", text)


if __name__ == "__main__":
    main()
