"""Recorded availability: windows of time in which each client was there, looked up round by round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import fmod
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt

from fedsim.core import ScenarioError, World
from fedsim.core.config.inputs import InputPath, place_of
from fedsim.core.contracts import Ids, Vector
from fedsim.participation.config import Participation
from fedsim.participation.table import read_table, unknown_clients


@dataclass(frozen=True, eq=False)
class TraceProcess:
    """Client i is there in round r iff t = offset_s + (r - 1) round_s lies in one of its windows [start, end).

    The windows of client `clients[k]` are numbers first[k] .. first[k + 1] - 1, ascending and apart from each other.
    """

    num_clients: int
    round_s: float
    offset_s: float
    length_s: float
    cycle: bool
    clients: Ids
    first: Ids
    start_s: Vector
    end_s: Vector
    probabilities: None = None

    def cohort(self, round: int) -> Ids:
        """Return the ids available at the start of the round: one bisection, for all clients together."""
        now = self.offset_s + (round - 1) * self.round_s
        if self.cycle:
            now = fmod(now, self.length_s)
        low, high = self.first[:-1].copy(), self.first[1:].copy()
        while (low < high).any():  # low ends as the number of the first window that starts after now
            middle = (low + high) // 2
            started = (low < high) & (self.start_s[np.minimum(middle, len(self.start_s) - 1)] <= now)
            low, high = np.where(started, middle + 1, low), np.where(started | (low >= high), high, middle)
        inside = (low > self.first[:-1]) & (now < self.end_s[np.maximum(low - 1, 0)])
        return self.clients[inside]


@dataclass(frozen=True, kw_only=True)
class Trace(Participation):
    """A recorded trace says when each client is available (as FedScale's device traces).

    The file is a CSV with the header client,start_s,end_s: one availability window [start_s, end_s) a line, in any
    order; windows of a client that touch or overlap are one. A client without a window is never there. Round r has
    the clients available at offset_s + (r - 1) * round_s.
    """

    kind: Literal["trace"] = "trace"
    file: InputPath
    """CSV file, relative to the scenario."""
    round_s: Annotated[float, Gt(0)]
    """Seconds from the start of one round to the start of the next."""
    offset_s: Annotated[float, Ge(0)] = 0.0
    """Time in the trace at which round 1 starts."""
    cycle: bool = True
    """Start again when the trace is over; otherwise nobody comes any more."""
    length_s: Annotated[float, Gt(0)] | None = None
    """Length of a cycle; by default the trace is over when its last window ends."""

    def bare(self, world: World) -> TraceProcess:
        """Return the process in a world; raises ScenarioError with FILE:LINE for every wrong line."""
        table = read_table(place_of(self.file, world.folder), ("client", "start_s", "end_s"))
        clients, start, end = table.columns["client"], table.columns["start_s"], table.columns["end_s"]
        length = float(end.max()) if self.length_s is None else self.length_s
        problems = [
            *unknown_clients(table, world.num_clients),
            *table.problems_where(start < 0, "start_s", lambda row: f"must be at least 0, got {start[row]:g}"),
            *table.problems_where(
                end <= start, "end_s", lambda row: f"must come after start_s ({start[row]:g}), got {end[row]:g}"
            ),
        ]
        if self.cycle:
            problems += table.problems_where(
                end > length, "end_s", lambda row: f"lies beyond length_s ({length:g}), got {end[row]:g}"
            )
        table.refuse(problems)
        owners, start, end = merged(clients.astype(np.int64), start, end)
        ids, first = np.unique(owners, return_index=True)
        bounds = np.append(first, len(owners)).astype(np.int64)
        return TraceProcess(world.num_clients, self.round_s, self.offset_s, length, self.cycle, ids, bounds, start, end)

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for everything that is wrong in the file."""
        try:
            self.bare(world)
        except ScenarioError as error:
            yield from (("file", line) for line in str(error).splitlines())

    def nobody_comes(self, world: World, rounds: int) -> str | None:
        """Return why no window of the trace holds the start of a round."""
        found = self.bare(world)
        last = self.offset_s + (rounds - 1) * self.round_s
        if rounds > _LOOKED_AT:
            return None
        times = self.offset_s + np.arange(rounds) * self.round_s
        if self.cycle:
            times = np.fmod(times, found.length_s)
        # somebody is there at t when more windows have started than ended
        started = np.searchsorted(np.sort(found.start_s), times, side="right")
        ended = np.searchsorted(np.sort(found.end_s), times, side="right")
        if (started > ended).any():
            return None
        first, end = found.start_s.min(), found.end_s.max()
        if first > last:
            return f"the first window starts at {first:.15g} s, after the last round at {last:.15g} s: use offset_s"
        if not self.cycle and self.offset_s >= end:
            text = f"the last window ends at {end:.15g} s, before round 1 at {self.offset_s:.15g} s"
            return f"{text}: lower offset_s, or give cycle: true"
        return f"no round starts inside a window, and {rounds:,} were looked at: change offset_s or round_s"


_LOOKED_AT = 1_000_000
"""Rounds of a trace that are looked at before it is called one in which nobody comes."""


def merged(clients: Ids, start: Vector, end: Vector) -> tuple[Ids, Vector, Vector]:
    """Return the windows by client and time, those of one client that touch or overlap made one.

    >>> [a.tolist() for a in merged(np.array([1, 0, 1]), np.array([5.0, 0.0, 2.0]), np.array([9.0, 1.0, 5.0]))]
    [[0, 1], [0.0, 2.0], [1.0, 9.0]]
    """
    order = np.lexsort((start, clients))
    clients, start, end = clients[order], start[order], end[order]
    # Running maximum of the ends inside each client: offsets keep the clients apart.
    rank = np.cumsum(np.concatenate([[0], np.diff(clients) != 0]))
    reach = _running_max(rank, end)
    opens = np.concatenate([[True], (np.diff(rank) != 0) | (start[1:] > reach[:-1])])
    places = np.flatnonzero(opens)
    last = np.append(places[1:], len(clients)) - 1
    return clients[places], start[places], reach[last]


def _running_max(group: Ids, values: Vector) -> Vector:
    """Return the running maximum of the values inside each group; groups are consecutive and ascending.

    Ranks replace values, so that the offset which keeps groups apart costs no precision.
    """
    sorted_values, rank = np.unique(values, return_inverse=True)
    lifted = np.maximum.accumulate(group * len(sorted_values) + rank)
    return np.asarray(sorted_values[lifted - group * len(sorted_values)], dtype=np.float64)
