"""Parts of the population, each with a process of its own, that may join late and leave early."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import fsum
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, MinLen

from fedsim.core import Process, World
from fedsim.core.contracts import Ids, Vector
from fedsim.participation.config import Participation, part_of, prefixed
from fedsim.participation.processes import AnyParticipation


@dataclass(frozen=True, kw_only=True)
class Group:
    """One group: how many clients, their process, and the rounds between which they exist.

    The clients of a group have consecutive ids, groups in the order in which they are listed. Inside, the group's
    process numbers them from 0: a list of probabilities, or a schedule, speaks of the group's own clients.
    """

    process: AnyParticipation
    """The process of the group's clients."""
    share: Annotated[float, Gt(0), Le(1)] | None = None
    """Share of all clients; give share or size, or neither in one group, which then has the rest."""
    size: Annotated[int, Ge(1)] | None = None
    """Number of clients."""
    joins_at: Annotated[int, Ge(1)] = 1
    """First round in which the group exists."""
    leaves_at: Annotated[int, Ge(1)] | None = None
    """First round in which it is gone; null means never."""

    def exists(self, round: int) -> bool:
        """Return whether the group has joined and not left."""
        return self.joins_at <= round and (self.leaves_at is None or round < self.leaves_at)


@dataclass(frozen=True)
class GroupsProcess:
    """The union of the groups' cohorts; group k has the ids starts[k] .. starts[k + 1] - 1."""

    groups: tuple[Group, ...]
    parts: tuple[Process, ...]
    starts: tuple[int, ...]

    @property
    def num_clients(self) -> int:
        """N."""
        return self.starts[-1]

    def cohort(self, round: int) -> Ids:
        """Return the ids of all groups that exist in the round and have them."""
        places = zip(self.groups, self.parts, self.starts[:-1], strict=True)
        found = [start + part.cohort(round) for group, part, start in places if group.exists(round)]
        return np.concatenate([np.zeros(0, np.int64), *found])

    @property
    def probabilities(self) -> Vector | None:
        """The parts' probabilities (N,), None when one does not know its own, or a group joins late or leaves."""
        known = [p for p in (part.probabilities for part in self.parts) if p is not None]
        stay = all(group.joins_at == 1 and group.leaves_at is None for group in self.groups)
        return np.concatenate(known) if stay and len(known) == len(self.parts) else None


@dataclass(frozen=True, kw_only=True)
class Groups(Participation):
    """The population falls into groups, each with its own process and its own time to join and to leave.

    Groups are given by share or by size; one group may give neither and takes the rest. With shares, group
    boundaries lie at round(N * cumulative share). A round counts from the start of the run for every group.
    """

    kind: Literal["groups"] = "groups"
    groups: Annotated[tuple[Group, ...], MinLen(1)]
    """The groups in the order of their clients' ids."""

    def bare(self, world: World) -> GroupsProcess:
        """Return the process in a world."""
        self.check(world)
        starts = self.starts(world.num_clients)
        parts = tuple(group.process.process(inner) for group, inner in zip(self.groups, self.inner(world), strict=True))
        return GroupsProcess(self.groups, parts, starts)

    def starts(self, num_clients: int) -> tuple[int, ...]:
        """Return the first id of each group, and N.

        >>> from fedsim.participation.processes.full import Full
        >>> Groups(groups=(Group(share=0.25, process=Full()), Group(process=Full()))).starts(10)
        (0, 2, 10)
        """
        by_size = any(group.size is not None for group in self.groups)
        parts = [group.size if by_size else group.share for group in self.groups]
        given: list[float] = [part for part in parts if part is not None]
        rest = max((num_clients if by_size else 1.0) - fsum(given), 0.0)
        ends = np.cumsum([rest if part is None else part for part in parts])
        bounds = np.rint(ends if by_size else ends * num_clients).astype(int).tolist()
        return (0, *bounds)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for groups that do not add up, and for what is wrong in their processes."""
        if not self.groups:
            yield "groups", "needs at least one group"
        open_groups = [k for k, group in enumerate(self.groups) if group.share is None and group.size is None]
        if len(open_groups) > 1:
            yield f"groups.{open_groups[1]}", "only one group may leave out share and size (it takes the rest)"
        shares = [group.share for group in self.groups if group.share is not None]
        if shares and any(group.size is not None for group in self.groups):
            yield "groups", "give shares or sizes, not both"
        total = fsum(shares)
        if shares and (total > 1 + 1e-9 or (not open_groups and total < 1 - 1e-9)):
            yield "groups", f"the shares add up to {total:g} instead of 1"
        for k, group in enumerate(self.groups):
            if group.leaves_at is not None and group.leaves_at <= group.joins_at:
                yield f"groups.{k}.leaves_at", f"must come after joins_at ({group.joins_at}), got {group.leaves_at}"
            yield from prefixed(f"groups.{k}.process", group.process.problems())

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for sizes that are not the population's, empty groups, and the groups' processes."""
        if any(True for _ in self.problems()):
            return
        starts = self.starts(world.num_clients)
        if starts[-1] != world.num_clients:
            yield "groups", f"the sizes add up to {starts[-1]}, but there are {world.num_clients} clients"
            return
        for k, group in enumerate(self.groups):
            if starts[k] == starts[k + 1]:
                yield f"groups.{k}", f"no client of {world.num_clients} is left for this group"
                continue
            yield from prefixed(f"groups.{k}.process", group.process.misfits(self.inner(world)[k]))

    def nobody_comes(self, world: World, rounds: int) -> str | None:
        """Return why no group has anybody: it joins after the last round, or its own process has nobody."""
        late = [group.joins_at for group in self.groups if group.joins_at > rounds]
        if len(late) == len(self.groups):
            return f"the first group joins in round {min(late)}, after the last round {rounds}: lower joins_at"
        places = zip(self.groups, self.inner(world), strict=True)
        why = [group.process.nobody_comes(inner, rounds) for group, inner in places if group.joins_at <= rounds]
        return None if None in why else why[0]

    def inner(self, world: World) -> list[World]:
        """Return each group's own world."""
        starts = self.starts(world.num_clients)
        return [part_of(world, k, starts[k], starts[k + 1] - starts[k]) for k in range(len(self.groups))]
