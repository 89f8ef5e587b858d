"""What a rule may ask of the clients: sums over vectors that stay where they are, formed by the nodes in float64.

Vectors have names. `delta` is what a client's training came to, and its memory is h_i, the delta it sent last. Others
are those that the rule's or its correction's client half makes (`fedsim.core.client_half`), such as SCAFFOLD's
`control`; each has a memory under the same name when the half keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Over = Literal["cohort", "all memories"]
DELTA = "delta"
BUFFERS = "buffers"
"""What moves in a module without being trained, (b,): a vector of its own length, which no rule asks for."""
Sums = Mapping[str, Vector]
"""The sums that came back, by the name that `ask` gave them: float64, a vector of length d for each `LinearSum`, of
length 1 for each `Dot`."""


@dataclass(frozen=True)
class LinearSum:
    """One vector (d,) a rule asks for: sum_i fresh_i delta_i + stale_i h_i over the cohort, ids ascending.

    Attributes
    ----------
    fresh, stale : (|S|,) coefficients of the clients' deltas and memories; stale None means no memory is read.
    stored : take each delta as its memory will hold it (rounded, when memories are kept below float32), so that a
        running mean of memories does not drift from the memories themselves.
    of : which vector of the clients, `delta` or one that a client half names; stale counts the memory of that name.
    over : `cohort`, or `all memories`: the sum over all N clients of what each has after the round, fresh_i delta_i
        for those who deliver and stale_i h_i for all others (0 where a client was never seen); both are (N,) then.
    """

    fresh: Vector
    stale: Vector | None = None
    stored: bool = False
    of: str = DELTA
    over: Over = "cohort"

    def at(self, places: npt.NDArray[Any]) -> LinearSum:
        """Return the part of this sum that belongs to some places of the cohort, or of all clients."""
        stale = None if self.stale is None else self.stale[places]
        return LinearSum(self.fresh[places], stale, self.stored, self.of, self.over)

    def rescaled(self, factors: Vector, clients: npt.NDArray[np.int64]) -> LinearSum:
        """Return the sum over memories of deltas that count `factors` (N,) times; `clients` (|S|,) is the cohort."""
        if self.stale is None or self.of != DELTA:
            return self
        return replace(self, stale=self.stale * (factors[clients] if self.over == "cohort" else factors))

    def same(self, other: Asked, *, coarse: bool) -> bool:
        """Return whether another sum comes to the same; `coarse` memories make a `stored` delta another one."""
        if not isinstance(other, LinearSum) or (self.of, self.over) != (other.of, other.over):
            return False
        if (coarse or self.of != DELTA) and self.stored != other.stored:
            return False
        if (self.stale is None) != (other.stale is None):
            return False
        if self.stale is not None and other.stale is not None and not np.array_equal(self.stale, other.stale):
            return False
        return np.array_equal(self.fresh, other.fresh)


@dataclass(frozen=True)
class Dot:
    """One number a rule asks for: sum_i weights_i <one_i, other_i> over the cohort, as a vector of length 1.

    Attributes
    ----------
    weights : (|S|,) coefficients.
    one, other : `delta`, or `h`, the memory of it (0 where a client was never seen).
    """

    weights: Vector
    one: Literal["delta", "h"] = "delta"
    other: Literal["delta", "h"] = "delta"

    def at(self, places: npt.NDArray[Any]) -> Dot:
        """Return the part of this sum that belongs to some places of the cohort."""
        return replace(self, weights=self.weights[places])

    def rescaled(self, factors: Vector, clients: npt.NDArray[np.int64]) -> Dot:
        """Return the sum with memories that count `factors` (N,) times."""
        power = (self.one == "h") + (self.other == "h")
        return replace(self, weights=self.weights * factors[clients] ** power) if power else self

    def same(self, other: Asked, *, coarse: bool) -> bool:
        """Return whether another sum comes to the same."""
        if not isinstance(other, Dot) or {self.one, self.other} != {other.one, other.other}:
            return False
        return np.array_equal(self.weights, other.weights)

    @property
    def reads(self) -> bool:
        """Whether memories are read."""
        return "h" in (self.one, self.other)


Asked = LinearSum | Dot
