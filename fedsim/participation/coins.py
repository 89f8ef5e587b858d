"""Independent coins for all clients of a round, one keyed stream a round, entry i belonging to client i.

A coin of probability p shows heads when a uniform number is below p. The first 32 bits of that number decide all but
one in 2**32 coins; only for the others are 53 more bits drawn. This is exact, and costs half of drawing doubles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedsim.core.contracts import Vector
from fedsim.core.rng import digest, stream, uniforms

Mask = npt.NDArray[np.bool_]
_TWO_32 = float(2**32)


@dataclass(frozen=True)
class Chances:
    """Probabilities p (N,) as limits for 32 random bits: p = (whole + rest) / 2**32 with rest in [0, 1]."""

    whole: npt.NDArray[np.uint32]
    rest: Vector

    @classmethod
    def of(cls, probabilities: Vector) -> Chances:
        """Split probabilities in [0, 1]; p = 1 becomes (2**32 - 1) + 1."""
        scaled = np.asarray(probabilities, dtype=np.float64) * _TWO_32
        whole = np.minimum(np.floor(scaled), _TWO_32 - 1)
        return cls(whole.astype(np.uint32), scaled - whole)

    def where(self, mask: Mask, other: Chances) -> Chances:
        """Return these chances where the mask is set and the other ones elsewhere."""
        return Chances(np.where(mask, self.whole, other.whole), np.where(mask, self.rest, other.rest))


def words(seed: int, purpose: str, round: int, size: int) -> npt.NDArray[np.uint32]:
    """Return 32 random bits for each of `size` clients; more clients change nobody's bits."""
    raw = stream(seed, purpose, round).bit_generator.random_raw((size + 1) // 2)
    return np.asarray(raw, dtype="<u8").view("<u4")[:size]


def flip(seed: int, purpose: str, round: int, chances: Chances) -> Mask:
    """Return the coins of a round (N,): True with the client's probability."""
    bits = words(seed, purpose, round, len(chances.whole))
    heads: Mask = bits < chances.whole
    close = np.flatnonzero(bits == chances.whole)
    if close.size:
        heads[close] = uniforms(digest(seed, f"{purpose}.close", round), close) < chances.rest[close]
    return heads
