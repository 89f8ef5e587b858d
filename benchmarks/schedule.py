"""Schedules of a large population: seconds and peak memory. Run: python -m benchmarks.schedule.

Each line is measured in a process of its own, so that its peak is its own. Options: clients and rounds.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from fedsim.core import World
from fedsim.participation import schedule_hash
from fedsim.participation.config import Participation
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.cyclic import Cyclic
from fedsim.participation.processes.markov import Markov
from fedsim.participation.processes.schedule import Schedule
from fedsim.participation.processes.uniform import Uniform
from fedsim.participation.schedules.file import write_schedule
from fedsim.participation.schedules.statistics import summarise

WORKS = ("nothing", "statistics", "hash", "write and replay", "markov", "markov, last round alone", "uniform", "cyclic")


def work(name: str, clients: int, rounds: int) -> str:
    """Do one work and say what came out of it."""
    world = World(seed=1, num_clients=clients)
    bernoulli = Bernoulli(probabilities=0.01)
    configs: dict[str, Participation] = {
        "statistics": bernoulli,
        "markov": Markov(probabilities=0.01, activation=0.005),
        "uniform": Uniform(size=max(1, clients // 100)),
        "cyclic": Cyclic(probabilities=0.01),
    }
    if name in configs:
        found = summarise(configs[name].process(world), rounds)
        return f"mean cohort {found.sizes.mean():,.1f}, mean gap {found.rounds and _mean_gap(found.gaps):.1f}"
    if name == "hash":
        return schedule_hash(bernoulli.process(world), rounds)[:16]
    if name == "write and replay":
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "schedule.npz"
            write_schedule(file, bernoulli.process(world), rounds)
            replayed = schedule_hash(Schedule(file=str(file)).process(world), rounds)
            return f"{replayed[:16]}, {file.stat().st_size / 1e6:.0f} MB"
    if name == "markov, last round alone":
        return f"cohort {configs['markov'].process(world).cohort(rounds).size:,}"
    return ""


def _mean_gap(gaps: object) -> float:
    import numpy as np

    counts = np.asarray(gaps)
    return float((np.arange(len(counts)) * counts).sum() / max(counts.sum(), 1))


def main() -> None:
    """Print the table, or do one work when called with its name."""
    clients, rounds = (int(word) for word in (sys.argv[1:3] or ("1000000", "1000")))
    if len(sys.argv) > 3:
        begin = perf_counter()
        said = work(sys.argv[3], clients, rounds)
        seconds = perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{sys.argv[3]:<26}{seconds:8.2f} s{1000 * seconds / rounds:9.2f} ms/round{peak:9.0f} MB peak   {said}")
        return
    print(f"{clients:,} clients, {rounds:,} rounds, 1 %")
    for name in WORKS:
        command = [sys.executable, "-m", "benchmarks.schedule", str(clients), str(rounds), name]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
