"""Kills: SIGKILL at random moments, of the driver 100 times in one run or of any part of Ray; and at every point.

    python benchmarks/kills.py random [--kills 100] [--strategy fedstale] [--engine serial|ray]
    python benchmarks/kills.py ray [--kills 20] [--strategy fedstale]
    python benchmarks/kills.py sweep [--strategy fedstale]

`random` ends a command from outside at a random time after its start and resumes it, until it has been killed so often;
`ray` kills the driver, a host, the raylet and the control service in turn, one in each run, checks exit code, summary
and the hint how to go on, and resumes what has ended;
`sweep` ends a run at its Nth point for N = 1, 2, 3, ... until it ends by itself, and kills every recovery once, too.
All compare the end with an undisturbed serial run: the same sha256, the same rows, none twice, nothing left over.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

import fedsim
from benchmarks.victims import CODES, killed_at_random
from fedsim.api import read
from fedsim.engine.run.run import Run, execute, resume
from fedsim.metrics.summary import read_summary


def scenario(strategy: str, engine: str, rounds: int) -> dict[str, object]:
    """Return a run of stateful clients that saves often."""
    return {
        "name": f"kills-{strategy}",
        "seed": 2,
        "rounds": rounds,
        "data": {"dataset": "digits", "clients": 20, "partition": {"kind": "dirichlet", "alpha": 0.5}},
        "model": {"name": "mlp", "hidden": [32]},
        "client": {"local_steps": 4, "batch_size": 8},
        "participation": {"kind": "bernoulli", "probabilities": 0.4},
        "strategy": {"name": strategy},
        "evaluate": {"every": 7},
        "checkpoint": {"every": 3},
        "engine": {"kind": engine},
    }


def rows(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the reproducible rows of the store and of rounds.csv."""
    stored = run.rounds[~run.rounds["metric"].str.endswith("_s")].sort_values(["metric", "round"])
    table = pd.read_csv(run.folder / "rounds.csv", dtype=str)
    return stored[["metric", "round", "value"]].reset_index(drop=True), table[[c for c in table if c[-2:] != "_s"]]


def same(run: Run, reference: Run) -> bool:
    """Whether a run ended as the undisturbed one, and left nothing temporary."""
    equal = run.summary["params_sha256"] == reference.summary["params_sha256"]
    equal &= all(mine.equals(other) for mine, other in zip(rows(run), rows(reference), strict=True))
    return equal and not list(run.folder.rglob("*.tmp"))


def finished(folder: Path) -> Run:
    """Return the run that ended in a folder."""
    summary = read_summary(folder)
    return Run(summary["run"], folder, summary["store"], summary)


def at_random(place: Path, options: argparse.Namespace) -> bool:
    """Kill a command from outside until it has been killed often enough."""
    content = scenario(options.strategy, options.engine, options.rounds)
    reference = fedsim.run(content | {"engine": {"kind": "serial"}}, out=place / "reference" / "run")
    file, folder = place / "s.yaml", place / "killed" / "run"
    file.write_text(json.dumps(content))
    dice = random.Random(options.seed)
    kills = 0
    while True:
        begun = (folder / ".run.json").exists()
        what = ["resume", str(folder)] if begun else ["run", str(file), "--out", str(folder), "--overwrite"]
        process = subprocess.Popen([sys.executable, "-m", "fedsim", *what, "--quiet"], stderr=subprocess.PIPE)
        try:
            wait = None if kills >= options.kills else dice.uniform(*options.between)
            _, errors = process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            done = (folder / "rounds.csv").read_text().count("\n") - 1 if (folder / "rounds.csv").exists() else 0
            print(f"kill {kills}: {done} rounds", flush=True)
            continue
        if process.returncode:
            print(errors.decode())
            return False
        print(f"completed after {kills} kills")
        return same(finished(folder), reference)


def on_ray(place: Path, options: argparse.Namespace) -> bool:
    """Kill one part of a run on Ray after another."""
    content = scenario(options.strategy, "serial", 60)
    content["client"] = {"local_steps": 100, "batch_size": 8}
    reference = fedsim.run(content, out=place / "reference" / "run")
    content["engine"] = {"kind": "ray", "hosts": 2}
    dice = random.Random(options.seed)
    good = True
    for number in range(options.kills):
        victim = list(CODES)[number % len(CODES)]
        folder = place / str(number) / "run"
        wrong = killed_at_random(folder, content, victim, dice, 60)
        if not wrong and not same(finished(folder), reference):
            wrong = "other bits or rows than an undisturbed serial run"
        print(f"kill {number + 1}, {victim}: {wrong or 'as documented, the same bits'}", flush=True)
        good &= not wrong
    return good


def ended(content: dict[str, object], folder: Path, stop_at: int | None) -> int:
    """Run or resume in a child that kills itself at its Nth point; return its exit status."""
    child = os.fork()
    if child == 0:
        seen = 0

        def at(point: str, round: int) -> None:
            nonlocal seen
            seen += 1
            if seen == stop_at:
                os.kill(os.getpid(), signal.SIGKILL)

        code = 70
        try:
            if (folder / ".run.json").exists():
                resume(folder, at=at)
            else:
                execute(read(content, {}), out=folder, at=at)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def sweep(place: Path, options: argparse.Namespace) -> bool:
    """Kill at the Nth point for every N, and each recovery at its own Nth point modulo eleven."""
    content = scenario(options.strategy, "serial", 12)
    reference = fedsim.run(content, out=place / "reference" / "run")
    good, number = True, 0
    while True:
        number += 1
        folder = place / str(number) / "run"
        if ended(content, folder, number) == 0:
            print(f"{number - 1} points, all {'equal' if good else 'but those above equal'}")
            return good
        ended(content, folder, 1 + number % 11)
        if ended(content, folder, None) != 0 or not same(finished(folder), reference):
            print(f"point {number}: differs", flush=True)
            good = False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("how", choices=("random", "ray", "sweep"))
    parser.add_argument("--kills", type=int, help="100 of the driver, 20 on Ray unless given")
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--strategy", default="fedstale")
    parser.add_argument("--engine", choices=("serial", "ray"), default="serial")
    parser.add_argument("--between", type=float, nargs=2, default=(2.0, 5.0), metavar=("FROM", "TO"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.kills is None:
        options.kills = 20 if options.how == "ray" else 100
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fedsim-kills-") as name:
        good = {"random": at_random, "ray": on_ray, "sweep": sweep}[options.how](Path(name), options)
    print(f"{'equal' if good else 'DIFFERENT'} in {time.perf_counter() - began:.0f} s")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
