"""What every codec is: a frozen config that says what the server reads of a vector, and in how many bytes it came."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from math import floor
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

Row = npt.NDArray[Any]
"""(d,), float32 in a run; codecs keep whatever precision they are given."""
VALUE_BYTES, INDEX_BYTES = 4, 4
"""Widths of what travels: values are float32, places uint32."""


@dataclass(frozen=True, kw_only=True)
class Codec(ABC):
    """How clients send their vectors. Concrete ones carry `codec: Literal["..."]`, the word in the scenario."""

    feedback: Literal["none", "ef14", "ef21"] = "none"
    """What is done about what a codec leaves out: nothing; `ef14`: it is added to what is sent next (Seide et al.
    2014); `ef21`: what is coded is the change against what the server has of the client, its memory h_i (Richtarik et
    al. 2021), and the first time a client sends it sends everything."""
    weights: Literal["smoothness"] | tuple[float, ...] | None = None
    """EF21-W: client i codes a_i/w_i times its change, w_i being these weights in proportion (a positive number for
    each client), or the smoothness L_i of its objective, computed for quadratic data and linear models."""

    unbiased: ClassVar[bool] = False
    """Whether the mean of what is read is what was sent."""

    @abstractmethod
    def code(self, vector: Row, chance: np.random.Generator) -> Row:
        """Return what the server reads of a vector (d,); `chance` belongs to seed, round, client and vector."""

    @abstractmethod
    def nbytes(self, size: int) -> int:
        """Return the bytes in which a vector of `size` entries travels."""

    def whole(self, size: int) -> bool:
        """Return whether every vector of a size arrives as it is, bit for bit."""
        return False

    def variance(self, size: int) -> float | None:
        """Return omega with E ||C(x) - x||^2 <= omega ||x||^2; needed where an unbiased codec stands under feedback."""
        return None

    def contraction(self, size: int) -> float | None:
        """Return delta with E ||C(x) - x||^2 <= (1 - delta) ||x||^2, 0 < delta <= 1; None where there is none."""
        return None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that do not fit together."""
        if self.weights is not None and self.feedback != "ef21":
            yield "weights", "are those of EF21-W; write feedback: ef21, or leave them out"
        if isinstance(self.weights, tuple) and not all(0 < one < float("inf") for one in self.weights):
            yield "weights", "must be positive and finite"

    def fits(self, size: int) -> str | None:
        """Return why a vector of a size cannot be coded, as `key: message`; None when it can."""
        return None


def coordinates(k: float, size: int) -> int:
    """Return how many entries of `size` are kept: an int counts them, a float is a share of them.

    >>> coordinates(3, 10), coordinates(0.25, 10), coordinates(1.0, 10), coordinates(0.001, 10)
    (3, 3, 10, 1)
    """
    return k if isinstance(k, int) else max(1, floor(k * size + 0.5))


def too_many(k: float, size: int) -> str | None:
    """Return why so many entries cannot be kept."""
    return f"k: keeps {k} coordinates, and a vector has {size}" if isinstance(k, int) and k > size else None
