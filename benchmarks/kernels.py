"""Client updates per second of each training kernel: `python -m benchmarks.kernels [--seconds 2] [W1 W2 W3]`.

One process, one thread, no engine: draw of the batches, gathering, training and the deltas of one round's cohort. The
workloads are those of `benchmarks/results.md`. Kernels take turns, and the medians are printed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.workloads import WORKLOADS, Workload
from fedsim.clients.numerics import pin
from fedsim.clients.training import Trainer


def measure(workload: Workload, seconds: float) -> dict[str, float]:
    """Return the median updates per second of each kernel, the kernels taking turns."""
    examples = workload.data()
    trainers = {}
    for lane in workload.lanes:
        trainer = Trainer(workload.model, replace(workload.work, lane=lane), examples, seed=1)
        trainers[f"{trainer.plan.kernel}, {trainer.plan.lane} a lane" + " (auto)" * (lane == "auto")] = trainer
    rates: dict[str, list[float]] = {name: [] for name in trainers}
    params = trainer.initial()
    stream = np.random.default_rng(1)
    end, round = perf_counter() + seconds * len(trainers), 0
    while perf_counter() < end or round < 4:
        round += 1
        cohort = np.sort(stream.choice(workload.clients, workload.cohort, replace=False))
        for name, one in trainers.items():
            began = perf_counter()
            for result in one.lanes(params, cohort, round):
                assert np.isfinite(result.losses).all()
            rates[name].append(len(cohort) / (perf_counter() - began))
    return {name: median(rate[1:]) for name, rate in rates.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="W1 W2 W3")
    parser.add_argument("--seconds", type=float, default=2.0, help="per kernel")
    chosen = parser.parse_args()
    print(" ".join(f"{key}={value}" for key, value in pin().items()))
    for name in chosen.workloads or WORKLOADS:
        for kernel, rate in measure(WORKLOADS[name], chosen.seconds).items():
            print(f"{name}  {kernel:28} {rate:10,.0f} client updates/s")


if __name__ == "__main__":
    main()
