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
    With `phase: in_turn` groups of clients with consecutive ids come one after the other: period // on groups, group k
    beginning at round k on of a period; with `select` this is cyclic client participation.
    """

    kind: Literal["cyclic"] = "cyclic"
    probabilities: Probabilities
    """p_i: a number in (0, 1], a list with one entry per client, or a law; rounded to whole rounds of a period."""
    period: Annotated[int, Ge(1), Le(10**9)] = 100
    """Rounds after which everything repeats."""
    phase: Literal["uniform", "inactive", "in_turn"] = "uniform"
    """Where a client's stretch begins: uniform on 0..period-1, or on 0..period-on-1; or group after group by id."""

    def bare(self, world: World) -> CyclicProcess:
        """Return the process in a world."""
        self.check(world)
        on = np.maximum(1, np.rint(self.period * resolve(self.probabilities, world))).astype(np.int32)
        if self.phase == "in_turn":
            groups = np.arange(world.num_clients, dtype=np.int64) * (self.period // on) // world.num_clients
            return CyclicProcess(self.period, on, (groups * on).astype(np.int32))
        places = np.full_like(on, self.period) if self.phase == "uniform" else self.period - on
        offset = np.floor(stream(world.seed, "participation.cyclic").random(world.num_clients) * places)
        return CyclicProcess(self.period, on, offset.astype(np.int32))

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for probabilities outside (0, 1]."""
        yield from probability_problems(self.probabilities)

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for a list of the wrong length."""
        yield from probability_problems_in(self.probabilities, world)
