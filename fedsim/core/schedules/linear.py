"""The schedule `linear`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from fedsim.core.schedules.config import Schedule


@dataclass(frozen=True, kw_only=True)
class Linear(Schedule):
    """Falls on a straight line: lr + (min - lr) (r - 1) / rounds in round r, then min.

    As torch's LinearLR with start_factor = 1, end_factor = min / lr and total_iters = rounds.

    >>> [Linear(rounds=2, min=0.25).rate(0.75, count) for count in (1, 2, 3, 4)]
    [0.75, 0.5, 0.25, 0.25]
    """

    kind: Literal["linear"] = "linear"
    rounds: Annotated[int, Ge(1)]
    """Rounds until the rate is `min`."""
    min: Annotated[float, Ge(0)] = 0.0
    """The rate at the end, as it is, and not as a share of lr."""

    def rate(self, first: float, count: int) -> float:
        """Return first + (min - first) (count - 1) / rounds, and min after `rounds`."""
        if count > self.rounds:
            return self.min
        return first + (self.min - first) * ((count - 1) / self.rounds)
