"""Fewer points of a curve, honestly: what is left are points of the curve, among them its extremes and its ends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def kept(values: npt.NDArray[np.float64], points: int) -> Indices:
    """Return the places of at most `points` values (at least 4): the first, the last, and extremes in between.

    The values between the ends are cut into stretches of equal length, and the lowest and the highest of each stay,
    so that no spike is lost. A stretch without a finite value keeps its first.

    >>> kept(np.array([0.0, 1.0, 9.0, 1.0, 0.0, -7.0, 0.0, 5.0]), 4).tolist()
    [0, 2, 5, 7]
    """
    count = len(values)
    if count <= max(points, 4):
        return np.arange(count)
    stretches = max(1, (points - 2) // 2)
    edges = np.linspace(1, count - 1, stretches + 1).astype(np.int64)
    width = int(np.diff(edges).max())
    places = np.minimum(edges[:-1, None] + np.arange(width), edges[1:, None] - 1)  # short rows repeat their last
    rows = values[places]
    lost = ~np.isfinite(rows)
    low = np.where(lost, np.inf, rows).argmin(axis=1)
    high = np.where(lost, -np.inf, rows).argmax(axis=1)
    row = np.arange(stretches)
    chosen = np.concatenate([[0, count - 1], places[row, low], places[row, high]])
    return np.unique(chosen)
