"""A client takes part when every one of several processes lets it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Literal

import numpy as np
from annotated_types import MinLen

from fedsim.core import Process, World
from fedsim.core.contracts import Ids, Vector
from fedsim.participation.config import Participation, part_of, prefixed
from fedsim.participation.processes import AnyParticipation


@dataclass(frozen=True)
class AllOfProcess:
    """The intersection of the cohorts of independent processes."""

    num_clients: int
    parts: tuple[Process, ...]

    def cohort(self, round: int) -> Ids:
        """Return the ids that are in every part's cohort."""
        present = np.ones(self.num_clients, bool)
        for part in self.parts:
            there = np.zeros(self.num_clients, bool)
            there[part.cohort(round)] = True
            present &= there
        return np.flatnonzero(present).astype(np.int64)

    @property
    def probabilities(self) -> Vector | None:
        """The product of the parts' probabilities (N,), None when one does not know its own."""
        known = [p for p in (part.probabilities for part in self.parts) if p is not None]
        return reduce(np.multiply, known) if len(known) == len(self.parts) else None


@dataclass(frozen=True, kw_only=True)
class AllOf(Participation):
    """A client takes part in the rounds in which all of several independent processes have it.

    Each part draws its own numbers, so p_i is the product of theirs.
    """

    kind: Literal["all_of"] = "all_of"
    processes: Annotated[tuple[AnyParticipation, ...], MinLen(1)]
    """The processes, each over all clients."""

    def bare(self, world: World) -> AllOfProcess:
        """Return the process in a world."""
        self.check(world)
        parts = (config.process(inner) for config, inner in zip(self.processes, self.inner(world), strict=True))
        return AllOfProcess(world.num_clients, tuple(parts))

    def inner(self, world: World) -> list[World]:
        """Return each part's own world: the same clients, other numbers."""
        return [part_of(world, k) for k in range(len(self.processes))]

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for what is wrong in the parts."""
        if not self.processes:
            yield "processes", "needs at least one process"
        for k, config in enumerate(self.processes):
            yield from prefixed(f"processes.{k}", config.problems())

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for parts that do not fit the world."""
        for k, config in enumerate(self.processes):
            yield from prefixed(f"processes.{k}", config.misfits(world))

    def nobody_comes(self, world: World, rounds: int) -> str | None:
        """Return why a part has nobody: then the whole has nobody."""
        why = (part.nobody_comes(inner, rounds) for part, inner in zip(self.processes, self.inner(world), strict=True))
        return next((text for text in why if text is not None), None)
