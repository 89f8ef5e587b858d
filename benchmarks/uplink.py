"""Accuracy against what clients sent, from a finished comparison: `python -m benchmarks.uplink FOLDER [FIGURE]`.

FOLDER is what `fedsim compare scenarios/uplink/accuracy-against-bytes.yaml --out FOLDER` wrote. Prints, for each
line, the last accuracy and the bytes sent up until that of `whole` less two points was reached, means over seeds.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl
import numpy as np

import fedsim

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "fedsim"
from matplotlib import pyplot as plt  # noqa: E402

SHORT = 0.02
"""How much less than the first line's last accuracy is looked for."""


def curves(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return, by line, megabytes sent up so far and test accuracy at each evaluation, means over seeds."""
    found = defaultdict(list)
    for run in sorted(path for path in folder.iterdir() if (path / "summary.json").exists()):
        told = fedsim.load(run)
        up = told.query("metric == 'bytes_up'").set_index("round")["value"].sort_index().cumsum()
        accuracy = told.query("metric == 'test_accuracy' and round > 0").set_index("round")["value"].sort_index()
        found[run.name.rpartition("-seed")[0]].append((up.loc[accuracy.index].to_numpy() / 1e6, accuracy.to_numpy()))
    return {name: (np.mean([x for x, _ in each], 0), np.mean([y for _, y in each], 0)) for name, each in found.items()}


def main(folder: str, figure: str | None = None) -> None:
    """Print the table, and draw the curves where a figure is named."""
    drawn = curves(Path(folder))
    goal = drawn["whole"][1][-1] - SHORT
    print(f"{'line':12} last accuracy   MB up   MB up until {goal:.4f}")
    for name, (sent, accuracy) in sorted(drawn.items()):
        there = np.flatnonzero(accuracy >= goal)
        until = f"{sent[there[0]]:.3f}" if len(there) else "never"
        print(f"{name:12} {accuracy[-1]:13.4f} {sent[-1]:7.3f}   {until}")
    if figure is not None:
        picture, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
        for (name, (sent, accuracy)), dash in zip(sorted(drawn.items()), ("-", "--", "-.", ":", "-"), strict=False):
            axes.plot(sent, accuracy, dash, label=name, marker="o", ms=2.5)
        axes.set(xscale="log", xlabel="megabytes sent up by all clients", ylabel="test accuracy")
        axes.legend(frameon=False)
        picture.savefig(figure, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
