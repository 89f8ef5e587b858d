"""How fast the clients' devices are, and what the server does about the slow ones: the section `devices:`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from fedsim.core import Process, ScenarioError, World
from fedsim.core.config.inputs import InputPath, place_of
from fedsim.core.config.written import Written
from fedsim.core.contracts import Vector
from fedsim.participation.clock import Clock
from fedsim.participation.config import Participation
from fedsim.participation.processes.uniform import Uniform
from fedsim.participation.select import Select
from fedsim.participation.speeds import Speeds, resolve_speeds, speed_problems
from fedsim.participation.table import read_table, unknown_clients

_SPEEDS = ("steps_per_s", "up_bytes_per_s", "down_bytes_per_s")


@dataclass(frozen=True, kw_only=True)
class Devices(Written):
    """The clients' devices: compute speed, bandwidth, and what the server does about the slow ones.

    Each speed is a number, a list with one entry per client, or a law; or all three come from a CSV file with the
    header client,steps_per_s,up_bytes_per_s,down_bytes_per_s and one line for each client.
    """

    file: InputPath | None = None
    """CSV file with the speeds of every client, relative to the scenario; replaces the three keys below."""
    steps_per_s: Speeds = 100.0
    """Local SGD steps a second."""
    up_bytes_per_s: Speeds = 1e6
    """Bandwidth from the client to the server."""
    down_bytes_per_s: Speeds = 1e7
    """Bandwidth from the server to the client."""
    jitter: Annotated[float, Ge(0), Le(10)] = 0.0
    """Spread of the logarithm of a client's time from round to round."""
    deadline_s: Annotated[float, Gt(0)] | None = None
    """Replies after this virtual time do not count: the client is absent from the round."""
    invite: Annotated[float, Ge(1)] = 1.0
    """Over-selection: `uniform`, and a process with `select`, invite ceil(invite * size) clients and keep the first
    `size` replies; with other processes the first floor(present / invite) replies are kept."""

    def clock(self, world: World) -> Clock:
        """Return the virtual clock of a world; raises ScenarioError when the two do not fit."""
        found = [*self.problems(), *self._length_problems(world)]
        if found:
            raise ScenarioError("\n".join(f"devices.{key}: {message}" for key, message in found))
        speeds = (
            self._from_file(world)
            if self.file is not None
            else [resolve_speeds(getattr(self, name), world.seed, name, world.num_clients) for name in _SPEEDS]
        )
        steps, up, down = speeds
        return Clock(world.seed, steps, up, down, deadline_s=self.deadline_s, invite=self.invite, jitter=self.jitter)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that are wrong whatever the world."""
        given = {name for name in _SPEEDS if self.wrote(name)}
        if len(given) == len(_SPEEDS):  # a scenario that was written out gives them all, at their defaults
            given = set()
        for name in _SPEEDS:
            yield from ((f"{name}.{key}".rstrip("."), message) for key, message in speed_problems(getattr(self, name)))
            if self.file is not None and (name in given or getattr(self, name) != getattr(Devices, name)):
                yield name, "comes from the file; leave it out or leave out `file`"

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for lists of the wrong length, and for everything that is wrong in the file."""
        yield from self._length_problems(world)
        if self.file is not None:
            try:
                self._from_file(world)
            except ScenarioError as error:
                yield from (("file", line) for line in str(error).splitlines())

    def _length_problems(self, world: World) -> Iterator[tuple[str, str]]:
        for name in _SPEEDS:
            value = getattr(self, name)
            if isinstance(value, (tuple, list)) and len(value) != world.num_clients:
                yield name, f"the list has {len(value)} entries, but there are {world.num_clients} clients"

    def _from_file(self, world: World) -> list[Vector]:
        table = read_table(place_of(str(self.file), world.folder), ("client", *_SPEEDS))
        given = table.columns["client"]
        _, places = np.unique(given, return_index=True)
        twice = np.ones(len(table), bool)
        twice[places] = False
        problems = [
            *unknown_clients(table, world.num_clients),
            *table.problems_where(twice, "client", lambda row: f"{given[row]:g} has a line already"),
        ]
        for name in _SPEEDS:
            problems += table.problems_where(table.columns[name] <= 0, name, lambda row: "must be positive")
        table.refuse(problems)
        absent = np.setdiff1d(np.arange(world.num_clients), given.astype(np.int64))
        if absent.size:
            raise ScenarioError(f"{table.path}: has no line for client {absent[0]} ({absent.size} clients are missing)")
        order = np.argsort(given)
        return [table.columns[name][order] for name in _SPEEDS]


def environment(participation: Participation, devices: Devices | None, world: World) -> tuple[Process, Clock | None]:
    """Return who is invited in each round, and the clock that says whose reply counts (None without devices).

    Over-selection enlarges a `uniform` or selected cohort here, so that a schedule and its hash speak of those who are
    invited.
    """
    if devices is None:
        return participation.process(world), None
    if devices.invite > 1:
        participation = _over_selected(participation, devices.invite, world)
    return participation.process(world), devices.clock(world)


def _over_selected(participation: Participation, invite: float, world: World) -> Participation:
    """Return a process that invites more: a larger `select`, else a larger `uniform`, else as it is."""
    picked = participation.select if isinstance(participation.select, Select) else participation
    if not isinstance(picked, Select | Uniform):
        return participation
    invited = ceil(round(invite * picked.size, 9))
    if invited > world.num_clients:
        text = f"{invite:g} x {picked.size} = {invited} clients, but there are {world.num_clients}"
        raise ScenarioError(f"devices.invite: must leave room in the population: invites {text}")
    larger = replace(picked, size=invited)
    return replace(participation, select=larger) if isinstance(larger, Select) else larger
