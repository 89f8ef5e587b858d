"""The virtual clock: what a round would have taken, and whose reply would have come in time.

Nothing waits here. A client's completion time is bytes_down / down + steps / steps_per_s + bytes_up / up, times
exp(jitter z) with a fresh standard normal z for each round and client.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedsim.core.contracts import Ids, Vector
from fedsim.core.rng import digest, uniforms


@dataclass(frozen=True, eq=False)
class Arrivals:
    """What became of a round's invitations; ids ascending, every invited client in exactly one of the three.

    Attributes
    ----------
    kept : the clients whose reply counts.
    late : those that missed the deadline.
    surplus : those that were in time, but after enough others.
    seconds : virtual time until the round could close; 0 when nobody was invited.
    """

    kept: Ids
    late: Ids
    surplus: Ids
    seconds: float


@dataclass(frozen=True, eq=False)
class Clock:
    """The virtual clock of a population of devices; all speeds (N,). A pure function of (seed, round)."""

    seed: int
    steps_per_s: Vector
    up_bytes_per_s: Vector
    down_bytes_per_s: Vector
    deadline_s: float | None = None
    invite: float = 1.0
    jitter: float = 0.0

    @property
    def selects(self) -> bool:
        """Whether somebody invited may be left out: then the process's own p_i are not those of the run."""
        return self.deadline_s is not None or self.invite > 1

    def completion_s(
        self,
        round: int,
        clients: Ids,
        steps: npt.ArrayLike,
        bytes_down: npt.ArrayLike,
        bytes_up: npt.ArrayLike,
    ) -> Vector:
        """Return how long each client takes from invitation to reply (|clients|,); the work is per client or common."""
        seconds = (
            np.asarray(bytes_down, dtype=np.float64) / self.down_bytes_per_s[clients]
            + np.asarray(steps, dtype=np.float64) / self.steps_per_s[clients]
            + np.asarray(bytes_up, dtype=np.float64) / self.up_bytes_per_s[clients]
        )
        if self.jitter:
            seconds = seconds * np.exp(self.jitter * _normals(self.seed, round, clients))
        return np.asarray(seconds, dtype=np.float64)

    def wanted(self, num_invited: int) -> int:
        """Return how many replies close a round: floor(invited / invite), at least one.

        >>> Clock(1, *[np.ones(20)] * 3, invite=1.3).wanted(13)
        10
        """
        return min(num_invited, max(1, int(round(num_invited / self.invite, 9))))

    def realise(
        self,
        round: int,
        invited: Ids,
        steps: npt.ArrayLike,
        bytes_down: npt.ArrayLike,
        bytes_up: npt.ArrayLike,
    ) -> Arrivals:
        """Return whose replies count. Ties in time go to the smaller id; a reply at the deadline is in time."""
        needed = self.completion_s(round, invited, steps, bytes_down, bytes_up)
        in_time = needed <= (np.inf if self.deadline_s is None else self.deadline_s)
        order = np.lexsort((invited, needed))
        order = order[in_time[order]]
        first = order[: self.wanted(len(invited))]
        kept = np.zeros(len(invited), bool)
        kept[first] = True
        if len(first) == self.wanted(len(invited)) or self.deadline_s is None:
            seconds = float(needed[first].max(initial=0.0))
        else:
            seconds = self.deadline_s
        return Arrivals(invited[kept], invited[~in_time], invited[in_time & ~kept], seconds)


def _normals(seed: int, round: int, clients: Ids) -> Vector:
    """Return one standard normal for each client (Box and Muller 1958), the same in every company."""
    radius, angle = (uniforms(digest(seed, "devices.jitter", round), clients, part) for part in (0, 1))
    return np.asarray(np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle), dtype=np.float64)
