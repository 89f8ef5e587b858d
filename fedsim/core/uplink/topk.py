"""The codec `topk`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from fedsim.core.uplink.codec import INDEX_BYTES, VALUE_BYTES, Codec, Row, coordinates, too_many


@dataclass(frozen=True, kw_only=True)
class TopK(Codec):
    """The k entries largest in size, of equal ones those that stand first; the others are read as 0.

    Contraction k/d (Stich, Cordonnier and Jaggi, "Sparsified SGD with memory", NeurIPS 2018, lemma A.1). k values and
    k places travel, 8 bytes each pair.

    >>> TopK(k=2).code(np.array([1.0, -3.0, 3.0, 3.0]), np.random.default_rng(0)).tolist()
    [0.0, -3.0, 3.0, 0.0]
    """

    codec: Literal["topk"] = "topk"
    k: Annotated[int, Ge(1)] | Annotated[float, Gt(0), Le(1)]
    """How many entries, as a whole number; or, with a point, which share of them: max(1, floor(k d + 1/2))."""

    def code(self, vector: Row, chance: np.random.Generator) -> Row:
        """Return the vector with the others at 0."""
        kept = coordinates(self.k, len(vector))
        if kept >= len(vector):
            return vector
        sizes = np.abs(vector)
        least = np.partition(sizes, len(vector) - kept)[len(vector) - kept]
        above = sizes > least
        equal = np.flatnonzero(sizes == least)[: kept - int(above.sum())]
        above[equal] = True
        return np.where(above, vector, vector.dtype.type(0))

    def nbytes(self, size: int) -> int:
        """Return 8 k, or 4 d where everything travels and no places are needed."""
        kept = coordinates(self.k, size)
        return VALUE_BYTES * size if kept >= size else (VALUE_BYTES + INDEX_BYTES) * kept

    def whole(self, size: int) -> bool:
        """Return whether k = d."""
        return coordinates(self.k, size) >= size

    def contraction(self, size: int) -> float:
        """Return k/d."""
        return coordinates(self.k, size) / size

    def fits(self, size: int) -> str | None:
        """Refuse more entries than there are."""
        return too_many(self.k, size)
