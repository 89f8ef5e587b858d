"""Every client tosses its own coin in every round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from fedsim.core import World
from fedsim.core.contracts import Ids, Vector
from fedsim.participation.coins import Chances, toss
from fedsim.participation.config import Participation
from fedsim.participation.laws import Probabilities, probability_problems, probability_problems_in, resolve


@dataclass(frozen=True, eq=False)
class BernoulliProcess:
    """P(i in S_t) = p_i, independent over clients and rounds. A larger p_i only adds rounds to a client's schedule."""

    seed: int
    probabilities: Vector

    @property
    def num_clients(self) -> int:
        """N."""
        return len(self.probabilities)

    @cached_property
    def chances(self) -> Chances:
        """The p_i as limits for coins."""
        return Chances.of(self.probabilities)

    def cohort(self, round: int) -> Ids:
        """Return the ids whose coin shows heads."""
        coins = toss(self.seed, "participation.bernoulli", round, len(self.probabilities))
        return np.flatnonzero(coins.below(self.chances)).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Bernoulli(Participation):
    """Each client takes part with its own probability, independently in every round."""

    kind: Literal["bernoulli"] = "bernoulli"
    probabilities: Probabilities
    """p_i: a number in (0, 1], a list with one entry per client, or a law."""

    def bare(self, world: World) -> BernoulliProcess:
        """Return the process in a world."""
        self.check(world)
        return BernoulliProcess(world.seed, resolve(self.probabilities, world))

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for probabilities outside (0, 1]."""
        yield from probability_problems(self.probabilities)

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for a list of the wrong length."""
        yield from probability_problems_in(self.probabilities, world)
