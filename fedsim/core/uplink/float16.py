"""The codec `float16`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedsim.core.uplink.codec import Codec, Row

LARGEST = 65504.0


@dataclass(frozen=True, kw_only=True)
class Float16(Codec):
    """Half precision (IEEE 754 binary16), to nearest, 2 bytes an entry; beyond 65504 it is cut off there.

    The error is at most 2^-11 of an entry's size where that is between 6.2e-5 and 65504, below it 2^-25.
    """

    codec: Literal["float16"] = "float16"

    def code(self, vector: Row, chance: np.random.Generator) -> Row:
        """Return the vector as float16 holds it."""
        return np.clip(vector, -LARGEST, LARGEST).astype(np.float16).astype(vector.dtype)

    def nbytes(self, size: int) -> int:
        """Return 2 d."""
        return 2 * size
