"""fedsim against Flower's engine and a plain PyTorch loop: the same data, model, local steps and cohort size.

    python -m benchmarks.compare --workload W1 --rounds 20 [--repeat 3] [--save]

The contestants take turns, each in a fresh process, `--repeat` times. Ratios are formed inside one turn and then their
median is taken, so that a machine that slows down for a while moves numerator and denominator alike. `--save` puts
the table into benchmarks/results.md. `--only` picks contestants.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.contestants import CONTESTANTS
from benchmarks.report import circumstances, save, table
from benchmarks.workloads import WORKLOADS

LIMIT_S = 300
"""After so long a contestant hangs: Flower's engine waits for ever when its own part of it has failed."""


@dataclass(frozen=True)
class Measured:
    """One contestant's turn: seconds a round (median, the first excluded), until round 1 was done, peak memory."""

    round_s: float
    first_s: float
    peak_rss_bytes: int


def turn(name: str, workload: str, rounds: int, data: Path) -> Measured:
    """Let one contestant run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.turn", name, "--workload", workload]
    command += ["--rounds", str(rounds), "--data", str(data), "--launched", repr(time.time())]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}  # for Ray's workers
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, env=environment)
    except subprocess.TimeoutExpired as late:
        sys.exit(f"{name} has not finished in {LIMIT_S} s:\n{(late.stderr or b'').decode(errors='replace')[-2000:]}")
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return Measured(median(found["round_s"]), found["first_s"], found["peak_rss_bytes"])


def rows(turns: dict[str, list[Measured]], cohort: int) -> list[list[str]]:
    """Return a row for each contestant."""

    def ratio(name: str, other: str) -> str:
        if other not in turns or name == other:
            return "-"
        return f"{median(b.round_s / a.round_s for a, b in zip(turns[name], turns[other], strict=True)):.1f}"

    return [
        [
            name,
            f"{median(one.round_s for one in found) * 1e3:,.2f}",
            f"{cohort / median(one.round_s for one in found):,.0f}",
            ratio(name, "Flower's engine"),
            ratio(name, "plain PyTorch loop"),
            f"{median(one.first_s for one in found):.1f}",
            f"{median(one.peak_rss_bytes for one in found) / 1e9:.2f}",
        ]
        for name, found in turns.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=WORKLOADS, default="W1")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=CONTESTANTS, metavar="CONTESTANT")
    parser.add_argument("--save", action="store_true", help="put the table into benchmarks/results.md")
    given = parser.parse_args(arguments)
    names = given.only or list(CONTESTANTS)
    turns: dict[str, list[Measured]] = {name: [] for name in names}
    before = circumstances()
    with tempfile.TemporaryDirectory() as folder:
        data = WORKLOADS[given.workload].write(Path(folder) / "data.npz")
        for number in range(given.repeat):
            for name in names:
                turns[name].append(turn(name, given.workload, given.rounds, data))
                print(f"turn {number + 1}: {name:28} {turns[name][-1].round_s * 1e3:10.2f} ms a round", file=sys.stderr)
    header = ["", "ms a round", "client updates/s", "times Flower", "times plain", "s until round 1", "peak GB"]
    text = table(header, rows(turns, WORKLOADS[given.workload].cohort))
    text += f"\n\n{given.rounds} rounds, median of {given.repeat} turns. {before} (before), load after it "
    text += circumstances().rpartition("load ")[2] + "."
    print(text)
    if given.save:
        save(f"{given.workload}, against others", text)


if __name__ == "__main__":
    main()
