"""The schedule `step`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from fedsim.core.schedules.config import Schedule


@dataclass(frozen=True, kw_only=True)
class Step(Schedule):
    """Falls in steps: lr * factor**floor((r - 1) / every) in round r, as torch's StepLR.

    >>> [Step(every=2, factor=0.5).rate(0.8, round) for round in (1, 2, 3, 4, 5)]
    [0.8, 0.8, 0.4, 0.4, 0.2]
    """

    kind: Literal["step"] = "step"
    every: Annotated[int, Ge(1)]
    """Rounds with the same rate."""
    factor: Annotated[float, Gt(0)] = 0.1
    """What the rate is multiplied by after them."""

    def rate(self, first: float, count: int) -> float:
        """Return first * factor**floor((count - 1) / every)."""
        return first * self.factor ** ((count - 1) // self.every)
