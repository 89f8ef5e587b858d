"""Soak: 20,000 tiny rounds in one run. Memory must stay flat, and so must the rate.

    python benchmarks/soak.py [--rounds 20000] [--engine serial|ray]

Prints a line for every twentieth of the run and ends with 1 when the slope of the memory (Theil-Sen, over the second
half) is more than 1 kB a round, or the last quarter is slower than the second by more than 20 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fedsim.api import read
from fedsim.engine.run.run import execute


def scenario(rounds: int, engine: str) -> dict[str, object]:
    """Return a run of stateful clients with checkpoints and evaluations, as small as they come."""
    return {
        "name": "soak",
        "seed": 1,
        "rounds": rounds,
        "data": {"dataset": "digits", "clients": 20},
        "model": {"name": "linear"},
        "client": {"local_steps": 1, "batch_size": 4, "lr": 0.01},
        "participation": {"kind": "bernoulli", "probabilities": 0.3},
        "strategy": {"name": "fedstale"},
        "evaluate": {"every": 500},
        "checkpoint": {"every": 1000},
        "engine": {"kind": engine},
    }


def resident_kb() -> int:
    """Return what this process holds in memory of its own, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon")))


def slope(values: np.ndarray) -> float:
    """Return the median slope over all pairs."""
    first, second = np.triu_indices(len(values), 1)
    return float(np.median((values[second] - values[first]) / (second - first)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--engine", choices=("serial", "ray"), default="serial")
    options = parser.parse_args()
    step = max(1, options.rounds // 200)
    memory: list[int] = []
    clock: list[float] = []

    def at(point: str, round: int) -> None:
        if point == "choose" and round % step == 0:
            memory.append(resident_kb())
            clock.append(time.perf_counter())
            if len(memory) % 10 == 0:
                rate = 10 * step / (clock[-1] - clock[-10]) * 0.9 if len(clock) > 10 else float("nan")
                print(f"round {round:>7}  {memory[-1] / 1024:8.1f} MB  {rate:8.0f} rounds/s", flush=True)

    with tempfile.TemporaryDirectory(prefix="fedsim-soak-") as folder:
        run = execute(read(scenario(options.rounds, options.engine), {}), out=Path(folder) / "run", at=at)
    half = np.array(memory[len(memory) // 2 :], float)
    growth = slope(half) / step
    times = np.diff(clock)
    quarter = len(times) // 4
    slower = np.median(times[-quarter:]) / np.median(times[quarter : 2 * quarter]) - 1
    print(f"{run.status}: {growth * 1024:.0f} bytes a round, the last quarter slower by {slower:.1%}")
    return int(growth > 1.0 or slower > 0.2)


if __name__ == "__main__":
    sys.exit(main())
