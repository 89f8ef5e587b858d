"""Presence that falls to a lower step and comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Le

from fedsim.participation.modulations.config import Modulation


@dataclass(frozen=True, kw_only=True)
class Staircase(Modulation):
    """p_i(t) = p_i in the first half of each period, low * p_i in the second; the middle round of an odd one is high.

    Xiang et al. (FedAWE), NeurIPS 2024, section 7; in their code the period is 20 and low 0.4.

    >>> [Staircase(period=4, low=0.5).factor(t) for t in (1, 2, 3, 4, 5)]
    [1.0, 1.0, 0.5, 0.5, 1.0]
    """

    kind: Literal["staircase"] = "staircase"
    low: Annotated[float, Gt(0), Le(1)] = 0.4
    """What p_i is multiplied by in the second half."""

    def factor(self, round: int) -> float:
        """Return 1 in the first half of a period, low in the second."""
        return 1.0 if 2 * ((round - 1) % self.period) < self.period else self.low
