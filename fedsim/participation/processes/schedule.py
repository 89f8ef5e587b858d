"""Who comes when is written down: typed as cohorts, or saved by `fedsim schedule`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core import Process, ScenarioError, World
from fedsim.core.config.inputs import InputPath, place_of
from fedsim.core.contracts import Ids
from fedsim.participation.config import Participation
from fedsim.participation.schedules.file import SavedSchedule, read_schedule


@dataclass(frozen=True, eq=False)
class ListedProcess:
    """Round r has the cohort at place (r - 1) mod R of a list of R cohorts."""

    num_clients: int
    cohorts: tuple[Ids, ...]
    probabilities: None = None

    def cohort(self, round: int) -> Ids:
        """Return the ids written down for the round."""
        return self.cohorts[(round - 1) % len(self.cohorts)].copy()


@dataclass(frozen=True, eq=False)
class SavedProcess:
    """Round r has row (r - 1) mod R of a saved matrix of R rows; a row is read when it is asked for."""

    saved: SavedSchedule
    probabilities: None = None

    @property
    def num_clients(self) -> int:
        """N."""
        return self.saved.clients

    def cohort(self, round: int) -> Ids:
        """Return the ids whose bit is set in the round's row."""
        return np.flatnonzero(np.unpackbits(self.saved.row(round), count=self.num_clients)).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Schedule(Participation):
    """The cohorts are written down round by round and cycled: typed here, or in a file of `fedsim schedule`."""

    kind: Literal["schedule"] = "schedule"
    cohorts: tuple[tuple[Annotated[int, Ge(0)], ...], ...] | None = None
    """Client ids (from 0) of round 1, 2, ...; an empty list is an empty round."""
    file: InputPath | None = None
    """A schedule file (.npz with matrix, rounds, clients, hash), relative to the scenario."""

    def bare(self, world: World) -> Process:
        """Return the process in a world."""
        if self.file is not None and self.cohorts is None:
            saved, problem = self._read(world)
            if saved is None:
                raise ScenarioError(f"participation.file: {problem}")
            return SavedProcess(saved)
        self.check(world)
        cohorts = self.cohorts or ()
        return ListedProcess(world.num_clients, tuple(np.sort(np.array(c, dtype=np.int64)) for c in cohorts))

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for cohorts that make no sense."""
        if (self.cohorts is None) == (self.file is None):
            yield "cohorts", "give either cohorts or a file"
        if self.cohorts is not None and not self.cohorts:
            yield "cohorts", "needs at least one cohort (an empty round is written [])"
        for place, cohort in enumerate(self.cohorts or ()):
            if len(set(cohort)) < len(cohort):
                yield f"cohorts.{place}", f"names a client twice: {list(cohort)}"

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for ids outside 0..N-1, and for a file that cannot be used."""
        for place, cohort in enumerate(self.cohorts or ()):
            for client in sorted({c for c in cohort if not 0 <= c < world.num_clients})[:1]:
                allowed = f"clients are numbered 0 to {world.num_clients - 1}"
                yield f"cohorts.{place}", f"client {client} does not exist ({allowed})"
        if self.file is not None:
            _, problem = self._read(world)
            yield from () if problem is None else [("file", problem)]

    def nobody_comes(self, world: World, rounds: int) -> str | None:
        """Return that every cohort which is written down for these rounds is empty."""
        if self.cohorts is not None:
            empty = not any(self.cohorts[:rounds])
        else:
            saved, _ = self._read(world)
            empty = saved is not None and not saved.matrix[:rounds].any()
        return "every cohort that is written down is empty" if empty else None

    def _read(self, world: World) -> tuple[SavedSchedule | None, str | None]:
        """Return the saved schedule, or why it cannot be used."""
        path = place_of(str(self.file), world.folder)
        try:
            saved = read_schedule(path)
        except ScenarioError as error:
            return None, str(error)
        if saved.clients != world.num_clients:
            return None, f"{path}: is for {saved.clients} clients, but there are {world.num_clients}"
        return saved, None
