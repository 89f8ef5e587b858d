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


@dataclass(frozen=True, eq=False)
class Chances:
    """Probabilities, (N,) or one for all, as limits for 32 random bits: p = (whole + rest) / 2**32, 0 <= rest <= 1."""

    whole: npt.NDArray[np.uint32]
    rest: Vector

    @classmethod
    def of(cls, probabilities: Vector | float) -> Chances:
        """Split probabilities in [0, 1]; p = 1 becomes (2**32 - 1) + 1."""
        scaled = np.asarray(probabilities, dtype=np.float64) * _TWO_32
        whole = np.minimum(np.floor(scaled), _TWO_32 - 1)
        return cls(whole.astype(np.uint32), scaled - whole)


@dataclass(frozen=True, eq=False)
class Toss:
    """One uniform number for each client of a round, to be compared with as many probabilities as one likes."""

    key: tuple[int, str, int]
    bits: npt.NDArray[np.uint32]

    def below(self, chances: Chances) -> Mask:
        """Return where the numbers are below the probabilities (N,)."""
        heads: Mask = self.bits < chances.whole
        close = np.flatnonzero(self.bits == chances.whole)
        if close.size:
            seed, purpose, round = self.key
            heads[close] = (
                uniforms(digest(seed, f"{purpose}.close", round), close)
                < np.broadcast_to(chances.rest, self.bits.shape)[close]
            )
        return heads


def toss(seed: int, purpose: str, round: int, size: int) -> Toss:
    """Return the numbers of a round for `size` clients; more clients change nobody's number."""
    raw = stream(seed, purpose, round).bit_generator.random_raw((size + 1) // 2)
    return Toss((seed, purpose, round), np.asarray(raw, dtype="<u8").view("<u4")[:size])
