"""Two clients pull a number, the whole program moves it: traces from the text of a scenario."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import fedsim

TWO = """
name: two
data: {dataset: quadratic, centers: [[0.0], [4.0]], curvature: [1.0, 3.0]}
model: {name: point, init: [1.0]}
client: {local_steps: 2, lr: 0.1}
participation: {kind: schedule, cohorts: [[0], [1], [0, 1], [0], [0, 1]]}
"""
ONE = """
name: one
data: {dataset: quadratic, centers: [[0.0]]}
model: {name: point, init: [1.0]}
client: {local_steps: 1, lr: 0.1}
"""


def points(text: str, rounds: int, folder: Path) -> list[float]:
    """Return where the number is after each round."""
    found = []
    for last in range(1, rounds + 1):
        file, out = folder / f"{last}.yaml", folder / str(last)
        file.write_text(f"{text}\nrounds: {last}\n")
        run = fedsim.run(file, out=out)
        with np.load(run.folder / "params.npz") as params:
            found.append(float(params["point"].item()))
    return found
