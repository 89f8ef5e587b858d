"""The codec `randk`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from fedsim.core.uplink.codec import INDEX_BYTES, VALUE_BYTES, Codec, Row, coordinates, too_many


@dataclass(frozen=True, kw_only=True)
class RandK(Codec):
    """k entries drawn without replacement, read d/k times; the others are read as 0.

    Unbiased, omega = d/k - 1 (Stich, Cordonnier and Jaggi, NeurIPS 2018); under feedback they are read once, which is a
    contraction of k/d. k values and k places travel, 8 bytes each pair.
    """

    codec: Literal["randk"] = "randk"
    unbiased: ClassVar[bool] = True
    k: Annotated[int, Ge(1)] | Annotated[float, Gt(0), Le(1)]
    """How many entries, as a whole number; or, with a point, which share of them: max(1, floor(k d + 1/2))."""

    def code(self, vector: Row, chance: np.random.Generator) -> Row:
        """Return d/k times the entries that are drawn."""
        size, kept = len(vector), coordinates(self.k, len(vector))
        if kept >= size:
            return vector
        drawn = chance.choice(size, kept, replace=False, shuffle=False)
        found = np.zeros_like(vector)
        found[drawn] = vector[drawn] * vector.dtype.type(size / kept)
        return found

    def nbytes(self, size: int) -> int:
        """Return 8 k, or 4 d where everything travels and no places are needed."""
        kept = coordinates(self.k, size)
        return VALUE_BYTES * size if kept >= size else (VALUE_BYTES + INDEX_BYTES) * kept

    def whole(self, size: int) -> bool:
        """Return whether k = d."""
        return coordinates(self.k, size) >= size

    def variance(self, size: int) -> float:
        """Return d/k - 1."""
        return size / coordinates(self.k, size) - 1.0

    def fits(self, size: int) -> str | None:
        """Refuse more entries than there are."""
        return too_many(self.k, size)
