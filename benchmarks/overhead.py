"""What a round on two Ray hosts costs beside training: its time less that of the slower host, and whether it grows.

    python -m benchmarks.overhead [--save]

`--save` puts the tables into benchmarks/results.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import fedsim
from benchmarks.report import circumstances, save, table
from benchmarks.workloads import WORKLOADS

CASES = [("W1", 2, 200), ("W1", 4, 200), ("W2", 2, 60), ("W2", 4, 60), ("W3", 4, 10)]
"""Workload, nodes, rounds."""
LONG = 1000
PART = 100
PHASES = ("choose_s", "send_s", "ship_s", "reduce_s", "record_s")


def measure(workload: str, nodes: int, rounds: int) -> pd.DataFrame:
    """Return a run's phases in ms, a row each round but the first; `beside` is what is not training."""
    with tempfile.TemporaryDirectory() as folder:
        data = WORKLOADS[workload].write(Path(folder) / "data.npz")
        engine = {"kind": "ray", "nodes": nodes, "hosts": 2}
        run = fedsim.run(WORKLOADS[workload].scenario(data, rounds, engine), out=Path(folder) / "run")
        wide = run.rounds.pivot_table(index="round", columns="metric", values="value").loc[2:] * 1e3
    return wide.assign(beside=wide["round_s"] - wide["train_s"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="put the tables into benchmarks/results.md")
    given = parser.parse_args(arguments)
    before = circumstances()
    rows = []
    for workload, nodes, rounds in CASES:
        found = measure(workload, nodes, rounds).median()
        share = f"{found['beside']:.2f} ({found['beside'] / found['round_s']:.0%})"
        numbers = [f"{found[name]:.2f}" for name in ("round_s", "train_s")]
        rows.append([f"{workload}, {nodes} nodes", *numbers, share, *(f"{found[name]:.2f}" for name in PHASES)])
        sys.stderr.write(f"{rows[-1]}\n")
    header = ["", "round", "slower host trains", "beside it", *(name.removesuffix("_s") for name in PHASES)]
    long = measure("W1", 2, LONG)["beside"]
    first, last = long.iloc[:PART].median(), long.iloc[-PART:].median()
    text = f"Milliseconds a round on two Ray hosts, medians.\n\n{table(header, rows)}\n\n"
    text += f"Beside the training of W1 on 2 nodes: {first:.2f} ms in the first {PART} rounds of {LONG:,}, "
    text += f"{last:.2f} ms in the last {PART}.\n\n{before}."
    sys.stdout.write(text + "\n")
    if given.save:
        save("Beside training", text)


if __name__ == "__main__":
    main()
