"""Client updates per second of whole rounds with and without a correction: `python -m benchmarks.correction_speed`.

One node in this process, W1 and W2 of `benchmarks/results.md`: asking, training, sums, memories, the server's step. The
strategies take turns round by round, and the medians of their rounds are compared.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median
from time import perf_counter

import numpy as np
from flwr.app import ConfigRecord

from benchmarks.workloads import WORKLOADS, Workload
from fedsim.core import Population, Rule
from fedsim.core.sums import DELTA
from fedsim.engine.nodes.host import HostPlan
from fedsim.engine.nodes.serial import SerialGrid
from fedsim.strategies.corrections.feddyn import FedDyn
from fedsim.strategies.corrections.scaffold import Scaffold
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.flower import arrays
from fedsim.strategies.flower.adapter import RuleStrategy

RULES: dict[str, Rule] = {
    "fedavg": FedAvg(),
    "scaffold": FedAvg(correction=Scaffold()),
    "feddyn": FedAvg(correction=FedDyn()),
}


def measure(workload: Workload, seconds: float) -> dict[str, float]:
    """Return the median updates per second of whole rounds, the rules taking turns."""
    data = workload.data()
    count = workload.clients
    people = Population(np.full(count, workload.examples), np.full(count, 1 / count))
    stream = np.random.default_rng(1)
    cohorts = [np.sort(stream.choice(count, workload.cohort, replace=False)) for _ in range(64)]
    runs = {}
    for name, rule in RULES.items():
        correction = rule.corrected_by()
        halves = () if correction is None else (correction,)
        names = (*((DELTA,) if rule.remembers else ()), *(memory for half in halves for memory in half.memories))
        plan = HostPlan(
            workload.model, workload.work, 1, memory="float32" if names else None, memories=names, halves=halves
        )
        strategy = RuleStrategy(rule, people, lambda round: cohorts[round % len(cohorts)], 1)
        grid = SerialGrid(plan, data, 1)
        strategy.begin(grid.host.trainer.initial())
        runs[name] = (strategy, grid)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    end, round = perf_counter() + seconds * len(runs), 0
    while perf_counter() < end or round < 8:
        round += 1
        for name, (strategy, grid) in runs.items():
            began = perf_counter()
            assert strategy.state is not None
            model = arrays.record(params=strategy.state.params)
            messages = list(strategy.configure_train(round, model, ConfigRecord(), grid))
            strategy.conclude(round, grid.send_and_receive(messages))
            rates[name].append(workload.cohort / (perf_counter() - began))
    return {name: median(rate[3:]) for name, rate in rates.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="W1 W2 W3")
    parser.add_argument("--seconds", type=float, default=10.0, help="per strategy")
    chosen = parser.parse_args()
    for name in chosen.workloads or ("W1", "W2"):
        found = measure(WORKLOADS[name], chosen.seconds)
        for rule, rate in found.items():
            sys.stdout.write(f"{name}  {rule:10} {rate:10,.0f} client updates/s  {rate / found['fedavg']:.3f}\n")


if __name__ == "__main__":
    main()
