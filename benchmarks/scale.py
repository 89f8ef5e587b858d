"""Large populations and large memories: seconds a round and growth of the driver. Run: python -m benchmarks.scale.

    python -m benchmarks.scale [million-fedavg million-fedau population memories] [--rounds 10] [--save]

million-*: 1,000,000 clients of whom each comes with probability 1 % (about 10,000 a round), synthetic logistic
regression, two local steps. population: the same cohort size out of 100,000, a million and ten million clients.
memories: FedVARP with 10,000 clients and W3's CNN of 1.66 million parameters, 100 a round, memories on disk (up to
6.6 GB in 10 rounds, removed afterwards). Each case runs in a process of its own, on the serial engine. Growth is of
anonymous memory, between rounds: pages of the memories' files are the system's to keep or drop.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import circumstances, save, table
from benchmarks.workloads import WORKLOADS

IMAGES = "images.npz"
"""The examples of the case `memories`, in the folder where it runs."""


def million(strategy: str, clients: int, size: int, rounds: int) -> dict[str, Any]:
    """Return a scenario of many clients whose examples are made when they come."""
    return {
        "name": f"{clients} clients",
        "seed": 1,
        "rounds": rounds,
        "data": {"dataset": "synthetic", "clients": clients, "examples": 20},
        "model": {"name": "linear"},
        "client": {"local_epochs": 1, "batch_size": 10, "lr": 0.1},
        "participation": {"kind": "bernoulli", "probabilities": size / clients},
        "strategy": {"name": strategy},
        "evaluate": {"every": 10**6},
        "engine": {"kind": "serial"},
    }


def memories(rounds: int) -> dict[str, Any]:
    """Return a scenario whose clients' last updates are 6.6 MB each and live on disk; two examples a client."""
    few = replace(WORKLOADS["W3"], clients=10_000, cohort=100, examples=2)
    scenario = few.scenario(Path(IMAGES), rounds, {"kind": "serial"})
    return scenario | {"strategy": {"name": "fedvarp"}, "memory": {"tier": "disk"}}


def cases(rounds: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the scenarios of each case by label."""
    return {
        "million-fedavg": {"1,000,000 clients, fedavg": million("fedavg", 10**6, 10**4, rounds)},
        "million-fedau": {"1,000,000 clients, fedau": million("fedau", 10**6, 10**4, rounds)},
        "population": {
            f"{count:,} clients, 1,000 a round": million("fedavg", count, 1000, rounds)
            for count in (10**5, 10**6, 10**7)
        },
        "memories": {"10,000 clients, fedvarp, 1.66 M parameters, tier disk": memories(rounds)},
    }


def measure(scenario: dict[str, Any]) -> dict[str, float]:
    """Run one scenario in this process; return seconds a round by phase, and by how much the process has grown."""
    import fedsim.engine.run.session  # noqa: F401 - what is imported is no growth
    from fedsim.api import read
    from fedsim.engine.run.run import execute

    seen: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        if scenario["data"].get("path") == IMAGES:
            few = replace(WORKLOADS["W3"], clients=10_000, examples=2)
            scenario["data"]["path"] = str(few.write(Path(folder) / IMAGES))
        before, began = _resident(), time.perf_counter()
        run = execute(read(scenario, {}), out=Path(folder) / "run", at=lambda *_: seen.append(_resident()))
        frame = run.rounds.pivot_table(index="round", columns="metric", values="value")
        disk = sum(path.stat().st_blocks * 512 for path in (Path(folder) / "run" / "memory").glob("*"))
    names = ("round_s", "choose_s", "train_s", "step_s", "record_s", "cohort_size")
    rounds = frame.loc[2:] if len(frame) > 3 else frame
    return {
        **{name: float(median(rounds[name].dropna())) for name in names},
        "total_s": time.perf_counter() - began,
        "startup_s": run.summary["timing"]["startup_s"],
        "growth_bytes": max(seen) - before,
        "disk_bytes": disk,
    }


def _resident() -> int:
    """Return the anonymous memory of this process that is resident."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def row(label: str, found: dict[str, float]) -> list[str]:
    """Return one line of the table."""
    seconds = [f"{found[name]:.3f}" for name in ("round_s", "choose_s", "train_s", "step_s", "record_s")]
    growth = [f"{found[name] / 1e9:.2f}" for name in ("growth_bytes", "disk_bytes")]
    return [label, f"{found['cohort_size']:,.0f}", *seconds, *growth]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(cases(1)))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--save", action="store_true", help="put the tables into benchmarks/results.md")
    parser.add_argument("--one", metavar="LABEL", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    known = cases(given.rounds)
    if given.one:
        scenario = {label: one for group in known.values() for label, one in group.items()}[given.one]
        print(json.dumps(measure(scenario)))
        return
    rows = []
    before = circumstances()
    for case in given.cases or known:
        for label in known[case]:
            command = [sys.executable, "-m", "benchmarks.scale", "--one", label, "--rounds", str(given.rounds)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(row(label, json.loads(done.stdout.splitlines()[-1])))
            print(rows[-1], file=sys.stderr)
    header = ["", "cohort", "s a round", "choose", "train", "step", "record", "driver grew, GB", "disk, GB"]
    text = f"{table(header, rows)}\n\nSerial engine, 4 nodes, {given.rounds} rounds, medians. {before}."
    print(text)
    if given.save:
        save("Scale", text)


if __name__ == "__main__":
    main()
