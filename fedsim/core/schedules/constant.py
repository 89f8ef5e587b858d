"""The schedule `constant`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedsim.core.schedules.config import Schedule


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The same rate in every round.

    >>> Constant().rate(0.5, 10)
    0.5
    """

    kind: Literal["constant"] = "constant"

    def rate(self, first: float, count: int) -> float:
        """Return `first`."""
        return first
