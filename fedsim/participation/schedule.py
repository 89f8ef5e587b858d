"""Who comes when is written down: typed as cohorts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core import World
from fedsim.core.contracts import Ids
from fedsim.participation.config import Participation


@dataclass(frozen=True, eq=False)
class ListedProcess:
    """Round r has the cohort at place (r - 1) mod R of a list of R cohorts."""

    num_clients: int
    cohorts: tuple[Ids, ...]
    probabilities: None = None

    def cohort(self, round: int) -> Ids:
        """Return the ids written down for the round."""
        return self.cohorts[(round - 1) % len(self.cohorts)].copy()


@dataclass(frozen=True, kw_only=True)
class Schedule(Participation):
    """The cohorts are written down round by round and cycled."""

    kind: Literal["schedule"] = "schedule"
    cohorts: tuple[tuple[Annotated[int, Ge(0)], ...], ...]
    """Client ids (from 0) of round 1, 2, ...; an empty list is an empty round."""

    def process(self, world: World) -> ListedProcess:
        """Return the process in a world."""
        self.check(world)
        return ListedProcess(world.num_clients, tuple(np.sort(np.array(c, dtype=np.int64)) for c in self.cohorts))

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for cohorts that make no sense."""
        if not self.cohorts:
            yield "cohorts", "needs at least one cohort (an empty round is written [])"
        for place, cohort in enumerate(self.cohorts):
            if len(set(cohort)) < len(cohort):
                yield f"cohorts.{place}", f"names a client twice: {list(cohort)}"

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for ids outside 0..N-1."""
        for place, cohort in enumerate(self.cohorts):
            for client in sorted({c for c in cohort if not 0 <= c < world.num_clients})[:1]:
                allowed = f"clients are numbered 0 to {world.num_clients - 1}"
                yield f"cohorts.{place}", f"client {client} does not exist ({allowed})"
