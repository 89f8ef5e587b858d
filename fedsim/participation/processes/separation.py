"""Between two visits of a client lie at least so many rounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from fedsim.core import Process, World
from fedsim.core.contracts import Ids, Vector
from fedsim.core.rng import digest, uniforms
from fedsim.participation.config import Participation, part_of, prefixed
from fedsim.participation.processes import AnyParticipation
from fedsim.participation.processes.full import Full, FullProcess

ESTIMATED_ROUNDS = 4096
"""Rounds of another seed from which frequencies are counted where no closed form is known."""
_NEVER = -(2**62)
FULL = Full()
"""Everybody may come."""


@dataclass(eq=False)
class SeparationProcess:
    """Of those who may come and were last there at least `rounds` rounds ago, the `size` with the smallest numbers.

    A round depends on the ones before. The state is the last visit of each client; a round that lies behind is found
    from round 1 anew, so asked in order a round costs one step.
    """

    seed: int
    inner: Process
    rounds: int
    size: int
    frequencies_of: Process | None = None
    _last: Ids = field(init=False, repr=False)
    _round: int = field(default=0, init=False, repr=False)
    _cohort: Ids = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._last = np.full(self.num_clients, _NEVER, np.int64)
        self._round, self._cohort = 0, np.zeros(0, np.int64)

    @property
    def num_clients(self) -> int:
        """N."""
        return self.inner.num_clients

    def cohort(self, round: int) -> Ids:
        """Return the ids present in a round, ascending."""
        if round < self._round:
            self._restart()
        while self._round < round:
            self._step()
        return self._cohort.copy()

    def _step(self) -> None:
        now = self._round + 1
        there = self.inner.cohort(now)
        there = there[now - self._last[there] >= self.rounds]
        if len(there) > self.size:
            numbers = uniforms(digest(self.seed, "participation.separation", now), there)
            there = np.sort(there[np.argsort(numbers, kind="stable")[: self.size]])
        self._last[there] = now
        self._round, self._cohort = now, there

    @cached_property
    def probabilities(self) -> Vector | None:
        """The share of rounds of each client in the long run (N,).

        Where everybody may come it is min(size / N, 1 / rounds), exactly: the cohorts have `size` clients if size *
        rounds <= N, else everybody is back after exactly `rounds` rounds. Elsewhere it is estimated by a run of
        ESTIMATED_ROUNDS rounds under another seed, after as many to settle as `rounds`; None if somebody never came.
        """
        if isinstance(self.inner, FullProcess):
            return np.full(self.num_clients, min(self.size / self.num_clients, 1.0 / self.rounds))
        assert self.frequencies_of is not None, "given where the closed form does not hold"
        came = np.zeros(self.num_clients)
        for round in range(self.rounds + 1, self.rounds + ESTIMATED_ROUNDS + 1):
            came[self.frequencies_of.cohort(round)] += 1.0
        return came / ESTIMATED_ROUNDS if came.all() else None


@dataclass(frozen=True, kw_only=True)
class Separation(Participation):
    """Up to `size` clients a round, drawn from those who were last there at least `rounds` rounds ago.

    So t' - t >= rounds for any two visits t < t' of a client, the participation schema of Choquette-Choo et al.,
    "(Amplified) banded matrix factorization: a unified approach to private training", NeurIPS 2023. Where everybody may
    come each client has the share min(size / N, 1 / rounds) of the rounds; under another process in `of` the shares are
    estimated by a long run under another seed, and listed by `fedsim participation`.
    """

    kind: Literal["separation"] = "separation"
    rounds: Annotated[int, Ge(1), Le(10**9)]
    """Least number of rounds from one visit of a client to its next; 1 is no restriction."""
    size: Annotated[int, Ge(1)]
    """Clients a round; fewer where fewer may come."""
    of: AnyParticipation = FULL
    """Who may come at all, a process of its own."""

    def bare(self, world: World) -> SeparationProcess:
        """Return the process in a world."""
        self.check(world)
        inner = self.of.process(part_of(world, 0))
        if isinstance(inner, FullProcess):
            return SeparationProcess(world.seed, inner, self.rounds, self.size)
        other = digest(world.seed, "participation.separation.frequencies")
        again = SeparationProcess(other, inner, self.rounds, self.size)
        return SeparationProcess(world.seed, self.of.process(part_of(world, 0)), self.rounds, self.size, again)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for what is wrong in the process of who may come."""
        yield from prefixed("of", self.of.problems())

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for more clients a round than there are, and for what does not fit in the process."""
        if self.size > world.num_clients:
            yield "size", f"must not exceed the number of clients ({world.num_clients}), got {self.size}"
        yield from prefixed("of", self.of.misfits(part_of(world, 0)))

    def nobody_comes(self, world: World, rounds: int) -> str | None:
        """Return why nobody may come."""
        return self.of.nobody_comes(part_of(world, 0), rounds)
