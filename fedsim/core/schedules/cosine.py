"""The schedule `cosine`."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Annotated, Literal

from annotated_types import Ge

from fedsim.core.schedules.config import Schedule


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """Falls along half a cosine: min + (lr - min) (1 + cos(pi t)) / 2 with t = (r - 1) / rounds in round r, then min.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, eq. 5, without restarts;
    as torch's CosineAnnealingLR with T_max = rounds and eta_min = min, and constant after T_max.

    >>> [round(Cosine(rounds=2, min=0.25).rate(0.75, count), 12) for count in (1, 2, 3, 4)]
    [0.75, 0.5, 0.25, 0.25]
    """

    kind: Literal["cosine"] = "cosine"
    rounds: Annotated[int, Ge(1)]
    """Rounds until the rate is `min`."""
    min: Annotated[float, Ge(0)] = 0.0
    """The rate at the end, as it is, and not as a share of lr."""

    def rate(self, first: float, count: int) -> float:
        """Return min + (first - min) (1 + cos(pi t)) / 2 with t = (count - 1) / rounds, at most 1."""
        if count > self.rounds:
            return self.min
        return self.min + (first - self.min) * (1 + cos(pi * (count - 1) / self.rounds)) / 2
