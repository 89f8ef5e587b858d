"""Clients come and go like day and night."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Le

from fedsim.core import World
from fedsim.core.contracts import Ids, Vector
from fedsim.core.rng import stream
from fedsim.participation.config import Participation
from fedsim.participation.laws import Probabilities, probability_problems, probability_problems_in, resolve


@dataclass(frozen=True, eq=False)
class CyclicProcess:
    """Client i is there in round r iff (r - 1 - offset_i) mod period < on_i."""

    period: int
    on: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int32]

    @property
    def num_clients(self) -> int:
        """N."""
        return len(self.on)

    def cohort(self, round: int) -> Ids:
        """Return the ids inside their stretch of presence."""
        since = np.int32((round - 1) % self.period) - self.offset
        return np.flatnonzero(((since >= 0) & (since < self.on)) | (since + self.period < self.on)).astype(np.int64)

    @property
    def probabilities(self) -> Vector:
        """on_i / period (N,): the share of rounds, exactly."""
        return self.on / self.period


@dataclass(frozen=True, kw_only=True)
class Cyclic(Participation):
    """Each client is there for on = max(1, round(period * p_i)) rounds in a row, once in every period.

    With `phase: uniform` the stretch begins anywhere in the period; with `phase: inactive` (as in the code of FedAU)
    it never covers the last round of a period, which is then an empty round (but for clients that are always there).
    With `phase: turns` period // on groups of clients with consecutive numbers come one group after the other, as in
    the code of Crawshaw and Liu (NeurIPS 2024): of N clients and K groups the group of client i is floor(i K / N), and
    a draw of 0..on-1 rounds has passed of the first stretch when round 1 begins.
    """

    kind: Literal["cyclic"] = "cyclic"
    probabilities: Probabilities
    """p_i: a number in (0, 1], a list with one entry per client, or a law; rounded to whole rounds of a period."""
    period: Annotated[int, Ge(1), Le(10**9)] = 100
    """Rounds after which everything repeats."""
    phase: Literal["uniform", "inactive", "turns"] = "uniform"
    """Where a client's stretch begins: uniform on 0..period-1, or on 0..period-on-1, or where that of the group before
    ends."""

    def bare(self, world: World) -> CyclicProcess:
        """Return the process in a world."""
        self.check(world)
        on = np.maximum(1, np.rint(self.period * resolve(self.probabilities, world))).astype(np.int32)
        if self.phase == "turns":
            return CyclicProcess(self.period, on, self._turns(int(on[0]), world))
        places = np.full_like(on, self.period) if self.phase == "uniform" else self.period - on
        offset = np.floor(stream(world.seed, "participation.cyclic").random(world.num_clients) * places)
        return CyclicProcess(self.period, on, offset.astype(np.int32))

    def _turns(self, on: int, world: World) -> npt.NDArray[np.int32]:
        """Return where each client's stretch begins, (N,), when groups take turns."""
        groups = np.arange(world.num_clients) * (self.period // on) // world.num_clients
        passed = int(stream(world.seed, "participation.cyclic").random() * on)
        return ((groups * on - passed) % self.period).astype(np.int32)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for probabilities outside (0, 1]."""
        yield from probability_problems(self.probabilities)
        if self.phase == "turns" and not isinstance(self.probabilities, float | int):
            yield "phase", "turns are of one length: give one probability for all, the share of a period"

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for a list of the wrong length."""
        yield from probability_problems_in(self.probabilities, world)
