"""The codec `none`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedsim.core.uplink.codec import VALUE_BYTES, Codec, Row


@dataclass(frozen=True, kw_only=True)
class Nothing(Codec):
    """Vectors travel as they are, 4 bytes an entry."""

    codec: Literal["none"] = "none"
    unbiased: ClassVar[bool] = True

    def code(self, vector: Row, chance: np.random.Generator) -> Row:
        """Return the vector."""
        return vector

    def nbytes(self, size: int) -> int:
        """Return 4 d."""
        return VALUE_BYTES * size

    def whole(self, size: int) -> bool:
        """Always."""
        return True

    def variance(self, size: int) -> float:
        """Return 0."""
        return 0.0

    def contraction(self, size: int) -> float:
        """Return 1."""
        return 1.0
