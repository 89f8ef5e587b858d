"""The schedule `power`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from fedsim.core.schedules.config import Schedule


@dataclass(frozen=True, kw_only=True)
class Power(Schedule):
    """Falls as a power: lr * r**(-exponent) in round r; 1 is Robbins and Monro's 1 / r.

    >>> [Power(exponent=2.0).rate(0.5, count) for count in (1, 2, 4)]
    [0.5, 0.125, 0.03125]
    """

    kind: Literal["power"] = "power"
    exponent: Annotated[float, Ge(0)] = 1.0
    """How fast it falls: 0 not at all."""

    def rate(self, first: float, count: int) -> float:
        """Return first * count**(-exponent)."""
        return float(first * count**-self.exponent)
