"""A two-state chain for each client: who is there tends to stay, who is away tends to stay away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt, Le

from fedsim.core import World
from fedsim.core.contracts import Ids, Vector
from fedsim.participation.coins import Chances, Mask, toss
from fedsim.participation.config import Participation
from fedsim.participation.laws import Probabilities, probability_problems, probability_problems_in, resolve


class MarkovProcess:
    """The chain of each client as a function of keyed numbers, so that any round can be had without the others.

    One uniform number u per (round, client) says where both states go: away -> present iff u < A, present -> present
    iff u < 1 - D. The composition of these maps from some earlier round on soon forgets where it began (both states
    lead to the same place), for all clients after about log(N)/(A + D) rounds. So a round is found by walking back
    until the map is constant, or until the round asked for last, or round 1. Asked in order, a round costs one step.
    (The argument is that of coupling from the past: Propp and Wilson 1996.)
    """

    def __init__(self, seed: int, probabilities: Vector, rise: Vector, fall: Vector) -> None:
        self.seed = seed
        self.probabilities = probabilities
        self._rise, self._stay = Chances.of(rise), Chances.of(1.0 - fall)
        start = toss(seed, "participation.markov.start", 1, len(probabilities)).below(Chances.of(probabilities))
        self._start: tuple[int, Mask] = (1, start)
        self._memo = self._start  # the last round asked for: it changes no answer

    @property
    def num_clients(self) -> int:
        """N."""
        return len(self.probabilities)

    def cohort(self, round: int) -> Ids:
        """Return the ids whose chain is in the state present."""
        known, state = self._memo if self._memo[0] <= round else self._start
        if round > known:
            if_away, if_present = self._maps(round)
            for step in range(round - 1, known, -1):
                if np.array_equal(if_away, if_present):
                    break
                comes, stays = self._maps(step)
                if_away, if_present = np.where(comes, if_present, if_away), np.where(stays, if_present, if_away)
            state = np.where(state, if_present, if_away)
        self._memo = (round, state)
        return np.flatnonzero(state).astype(np.int64)

    def _maps(self, round: int) -> tuple[Mask, Mask]:
        """Return where the step into a round leads from away and from present (N,) each."""
        numbers = toss(self.seed, "participation.markov", round, self.num_clients)
        return numbers.below(self._rise), numbers.below(self._stay)


@dataclass(frozen=True, kw_only=True)
class Markov(Participation):
    """Each client switches between present and away by its own two-state Markov chain.

    p_i is the stationary probability; A = P(away -> present) = activation and D = P(present -> away) = A (1/p_i - 1).
    Where D would exceed 1, both are divided by it, which keeps p_i. Starts from the stationary law. The mean run
    lengths are 1/D rounds present and 1/A away; presence k rounds apart correlates as (1 - A - D)**k.
    """

    kind: Literal["markov"] = "markov"
    probabilities: Probabilities
    """Stationary p_i: a number in (0, 1], a list with one entry per client, or a law."""
    activation: Annotated[float, Gt(0), Le(1)] = 0.05
    """A = P(away -> present)."""

    def bare(self, world: World) -> MarkovProcess:
        """Return the process in a world."""
        self.check(world)
        probabilities = resolve(self.probabilities, world)
        rise, fall = self.rates(probabilities)
        return MarkovProcess(world.seed, probabilities, rise, fall)

    def rates(self, probabilities: Vector) -> tuple[Vector, Vector]:
        """Return A and D of each client (N,).

        >>> rise, fall = Markov(probabilities=0.5, activation=0.5).rates(np.array([0.5, 0.25, 1.0]))
        >>> rise.round(4).tolist(), fall.tolist()
        ([0.5, 0.3333, 0.5], [0.5, 1.0, 0.0])
        """
        fall = self.activation * (1.0 / probabilities - 1.0)
        scale = np.maximum(fall, 1.0)
        return self.activation / scale, fall / scale

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for probabilities outside (0, 1]."""
        yield from probability_problems(self.probabilities)

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for a list of the wrong length."""
        yield from probability_problems_in(self.probabilities, world)
