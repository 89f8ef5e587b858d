"""A fixed, seeded random projection of long vectors: norms survive on average, and rows become short enough to gather.

CountSketch (Charikar, Chen and Farach-Colton, "Finding frequent items in data streams", ICALP 2002): coordinate j is
added to bucket b(j) with sign s(j). E ||S x||^2 = ||x||^2, linear in x, O(d) a row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedsim.core.contracts import Vector
from fedsim.core.rng import bits, digest

EXACT = 8192
"""Vectors up to this length are kept as they are."""
WIDTH = 2048
"""Buckets for longer ones; the relative error of a squared norm is about sqrt(2 / WIDTH)."""


class Sketch:
    """Projects rows (k, d) to (k, width); the identity in float64 for d <= EXACT."""

    def __init__(self, seed: int, size: int) -> None:
        self.width = size if size <= EXACT else WIDTH
        if size > EXACT:
            drawn = bits(digest(seed, "sketch"), np.arange(size))
            self._bucket = (drawn % np.uint64(WIDTH)).astype(np.int64)
            self._sign = np.where(drawn >> np.uint64(63), 1.0, -1.0)
        self._exact = size <= EXACT

    def apply(self, rows: npt.NDArray[np.float32]) -> Vector:
        """Return the projected rows, float64."""
        if self._exact:
            return rows.astype(np.float64)
        sketched = np.empty((len(rows), self.width))
        for place, row in enumerate(rows):
            sketched[place] = np.bincount(self._bucket, weights=self._sign * row, minlength=self.width)
        return sketched
