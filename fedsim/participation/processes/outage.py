"""Now and then a random group of clients vanishes together for a while."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from fedsim.core import World
from fedsim.core.contracts import Ids, Vector
from fedsim.core.rng import digest, uniforms
from fedsim.participation.coins import Chances, toss
from fedsim.participation.config import Participation

_BEFORE = 2**40  # moves the rounds before round 1, whose outages may still last, into the non-negative numbers


@dataclass(frozen=True)
class OutageProcess:
    """A client is away in round r iff an outage that hits it began in one of the rounds r - duration + 1 .. r.

    Only these rounds are looked at, so any round can be had without the others; outages that began before round 1
    count, so that round 1 is like every other round.
    """

    seed: int
    num_clients: int
    rate: float
    duration: int
    share: float

    def cohort(self, round: int) -> Ids:
        """Return the ids that no outage hits."""
        starts = np.arange(round - self.duration + 1, round + 1)
        begins = uniforms(digest(self.seed, "participation.outage"), starts + _BEFORE) < self.rate
        there = np.ones(self.num_clients, bool)
        hit = Chances.of(self.share)
        for start in starts[begins].tolist():
            there &= ~toss(self.seed, "participation.outage.group", start, self.num_clients).below(hit)
        return np.flatnonzero(there).astype(np.int64)

    @property
    def probabilities(self) -> Vector:
        """(1 - rate * share)**duration for each client (N,)."""
        return np.full(self.num_clients, (1.0 - self.rate * self.share) ** self.duration)


@dataclass(frozen=True, kw_only=True)
class Outage(Participation):
    """Everybody is there, but now and then a random group of clients vanishes together for a while.

    In every round an outage begins with probability `rate`; it hits each client with probability `share` and lasts
    `duration` rounds. Outages may overlap. A client is there with probability (1 - rate * share)**duration. Meant as
    a part of `all_of`, beside a process for the everyday.
    """

    kind: Literal["outage"] = "outage"
    rate: Annotated[float, Gt(0), Le(1)] = 0.02
    """Probability that an outage begins in a round."""
    duration: Annotated[int, Ge(1)] = 10
    """Rounds that an outage lasts, the first included."""
    share: Annotated[float, Gt(0), Le(1)] = 0.2
    """Expected share of the clients that one outage hits."""

    def bare(self, world: World) -> OutageProcess:
        """Return the process in a world."""
        self.check(world)
        return OutageProcess(world.seed, world.num_clients, self.rate, self.duration, self.share)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when nobody could ever come."""
        if self.rate * self.share >= 1:
            yield "rate", "with rate 1 and share 1 nobody could ever come; lower one of them"
