"""A study: five strategies on twenty seeds, by version one's `compare` and by today's, in alternating turns.

    git worktree add --detach /tmp/first ebedb61 && (a virtual environment with it installed in /tmp/first/.venv)
    python -m benchmarks.study --first /tmp/first [--seeds 20] [--rounds 100] [--turns 3] [--nodes]

Each way is a whole `fedsim compare` of the quickstart in a process of its own, on the serial engine: start, runs,
tables and figures. Told are run-rounds per second, and the medians over turns of their ratios to version one's in the
same turn. `--nodes` measures W1 with four nodes against one. The machine's load is told; on a busy one only ratios mean
anything.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.workloads import WORKLOADS
from fedsim.engine.run.run import execute
from fedsim.scenario import from_dict

STRATEGIES = "fedavg,fedau,fedvarp,fedstale:beta=0.5,mifa"
HERE = Path(__file__).resolve().parents[1]
WAYS: dict[str, tuple[str, ...]] = {
    "all cores": (),
    "one process": ("--parallel", "1"),
    "one process, no lanes": ("--parallel", "1", "--no-lanes"),
}


def compared(python: Path, root: Path, seeds: int, rounds: int, options: tuple[str, ...]) -> float:
    """Return the seconds of a whole comparison."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(str(python), "-m", "fedsim", "compare", str(root / "scenarios" / "quickstart.yaml")),
            *("--strategies", STRATEGIES, "--seeds", str(seeds), "--out", str(Path(folder) / "all"), "--quiet"),
            *("--set", f"rounds={rounds}", "--set", "engine={kind: serial, nodes: 4}", *options),
        ]
        began = time.perf_counter()
        subprocess.run(command, check=True, cwd=root, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


def study(first: Path, seeds: int, rounds: int, turns: int) -> None:
    """Measure all ways in alternating turns and print what they came to."""
    total = 5 * seeds * rounds
    ratios: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(1, turns + 1):
        base = compared(first / ".venv" / "bin" / "python", first, seeds, rounds, ())
        print(f"turn {turn}, load {os.getloadavg()[0]:.1f}: version one {total / base:.0f} run-rounds/s", flush=True)
        for way, options in WAYS.items():
            took = compared(Path(sys.executable), HERE, seeds, rounds, options)
            ratios[way].append(base / took)
            print(f"  {way}: {total / took:.0f} run-rounds/s, {base / took:.2f} times", flush=True)
    for way, found in ratios.items():
        print(f"{way}: {median(found):.2f} times version one (median of {turns})")


def nodes(turns: int) -> None:
    """Measure W1 in one process with four nodes against one: rounds per second of processor time."""
    workload, ratios = WORKLOADS["W1"], []
    with tempfile.TemporaryDirectory() as folder:
        path = workload.write(Path(folder) / "w1.npz")
        for turn in range(turns):
            took = {}
            for count in (1, 4):
                marks: dict[int, float] = {}

                def at(point: str, round: int, marks: dict[int, float] = marks) -> None:
                    if point == "choose":
                        marks[round] = time.process_time()

                scenario = from_dict(workload.scenario(path, 220, {"kind": "serial", "nodes": count}))
                execute(scenario, out=Path(folder) / f"{turn}-{count}", at=at)
                took[count] = (marks[220] - marks[20]) / 200
            ratios.append(took[1] / took[4])
            print(f"W1: 1 node {took[1] * 1e3:.2f} ms, 4 nodes {took[4] * 1e3:.2f} ms a round, {ratios[-1]:.2f}")
    print(f"W1, 4 nodes against 1: {median(ratios):.2f} (median of {turns})")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=Path, help="version one's folder, with a .venv")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--nodes", action="store_true", help="also W1 with four nodes against one")
    asked = parser.parse_args()
    if asked.first is not None:
        study(asked.first.resolve(), asked.seeds, asked.rounds, asked.turns)
    if asked.nodes:
        nodes(asked.turns)


if __name__ == "__main__":
    main()
