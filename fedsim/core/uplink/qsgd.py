"""The codec `qsgd`."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, sqrt
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from fedsim.core.uplink.codec import VALUE_BYTES, Codec, Row


@dataclass(frozen=True, kw_only=True)
class Qsgd(Codec):
    """Each entry as a level of the vector's norm, rounded by chance so that the mean is right.

    Alistarh et al., "QSGD", NeurIPS 2017, section 3.1, with s = `levels`: x_j is read as |x| sign(x_j) l/s,
    l = floor(s |x_j| / |x| + u). Unbiased, omega = min(d/s^2, sqrt(d)/s) (lemma 3.1). The norm travels in 4 bytes, and
    every entry, one of 2 s + 1 levels, in ceil(log2(2 s + 1)) bits; the paper's variable-length code is not counted.
    """

    codec: Literal["qsgd"] = "qsgd"
    unbiased: ClassVar[bool] = True
    levels: Annotated[int, Ge(1), Le(2**20)] = 7
    """Levels s above zero; 7 are 4 bits an entry, 1 is 2 bits, 127 are 8."""

    def code(self, vector: Row, chance: np.random.Generator) -> Row:
        """Return the vector at its levels."""
        wide = vector.astype(np.float64)
        norm = vector.dtype.type(sqrt(float((wide * wide).sum())))
        drawn = chance.random(len(vector))
        if norm == 0:
            return np.zeros_like(vector)
        level = np.floor(self.levels * (np.abs(wide) / float(norm)) + drawn)
        level = np.minimum(level, self.levels)
        found: Row = (np.sign(vector) * (level * (float(norm) / self.levels))).astype(vector.dtype)
        return found

    def nbytes(self, size: int) -> int:
        """Return the norm's 4 bytes and those of all levels."""
        return VALUE_BYTES + ceil(size * ceil(log2(2 * self.levels + 1)) / 8)

    def variance(self, size: int) -> float:
        """Return min(d/s^2, sqrt(d)/s)."""
        return min(size / self.levels**2, sqrt(size) / self.levels)
