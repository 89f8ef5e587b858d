"""The codec `sign`."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from fedsim.core.uplink.codec import VALUE_BYTES, Codec, Row


@dataclass(frozen=True, kw_only=True)
class Sign(Codec):
    """The signs, and the mean size of an entry: C(x) = |x|_1/d sign(x), with sign(0) = 1.

    Karimireddy et al., "Error feedback fixes SignSGD", ICML 2019: a contraction of at least 1/d. One bit an entry, and
    4 bytes.

    >>> Sign().code(np.array([1.0, -3.0, 0.5, -1.5]), np.random.default_rng(0)).tolist()
    [1.5, -1.5, 1.5, -1.5]
    """

    codec: Literal["sign"] = "sign"

    def code(self, vector: Row, chance: np.random.Generator) -> Row:
        """Return mean size times signs."""
        scale = vector.dtype.type(np.abs(vector).sum(dtype=np.float64) / max(1, len(vector)))
        found: Row = np.where(vector < 0, -scale, scale)
        return found

    def nbytes(self, size: int) -> int:
        """Return 4 bytes and a bit an entry."""
        return VALUE_BYTES + ceil(size / 8)

    def contraction(self, size: int) -> float:
        """Return 1/d."""
        return 1.0 / size
