"""The schedule `inverse_sqrt`."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Literal

from annotated_types import Ge

from fedsim.core.schedules.config import Schedule


@dataclass(frozen=True, kw_only=True)
class InverseSqrt(Schedule):
    """Falls with the square root: lr * sqrt((1 + offset) / (r + offset)) in round r; with offset 0 lr / sqrt(r).

    It starts at lr, and an offset postpones the fall: half of lr is reached in round 4 + 3 offset.

    >>> InverseSqrt(offset=2).rate(0.5, 1), InverseSqrt(offset=2).rate(0.5, 10)
    (0.5, 0.25)
    """

    kind: Literal["inverse_sqrt"] = "inverse_sqrt"
    offset: Annotated[float, Ge(0)] = 0.0
    """Rounds that are counted as gone before the first."""

    def rate(self, first: float, count: int) -> float:
        """Return first * sqrt((1 + offset) / (count + offset))."""
        return first * sqrt((1 + self.offset) / (count + self.offset))
