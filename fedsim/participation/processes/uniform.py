"""A fixed number of clients, drawn without replacement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core import World
from fedsim.core.contracts import Ids, Vector
from fedsim.core.rng import stream
from fedsim.participation.config import Participation


@dataclass(frozen=True)
class UniformProcess:
    """The cohort of a round is the `size` clients with the smallest of N keyed uniform numbers.

    So cohorts nest: a larger size with the same seed invites the same clients and more.
    """

    seed: int
    num_clients: int
    size: int

    def cohort(self, round: int) -> Ids:
        """Return exactly `size` ids, every subset equally likely."""
        numbers = stream(self.seed, "participation.uniform", round).random(self.num_clients)
        # Only numbers below this limit can be among the smallest, but for less than one round in 10**9.
        limit = (self.size + 6 * sqrt(self.size) + 20) / self.num_clients
        able = np.flatnonzero(numbers < limit)
        if able.size < self.size:
            able = np.arange(self.num_clients)
        smallest = np.argpartition(numbers[able], self.size - 1)[: self.size]
        return np.sort(able[smallest]).astype(np.int64, copy=False)

    @property
    def fixed_size(self) -> int:
        """Clients of every round, exchangeable ones."""
        return self.size

    @property
    def probabilities(self) -> Vector:
        """size/N for each client (N,)."""
        return np.full(self.num_clients, self.size / self.num_clients)


@dataclass(frozen=True, kw_only=True)
class Uniform(Participation):
    """Exactly `size` clients a round, drawn uniformly without replacement."""

    kind: Literal["uniform"] = "uniform"
    size: Annotated[int, Ge(1)]
    """Clients per round."""

    def bare(self, world: World) -> UniformProcess:
        """Return the process in a world."""
        self.check(world)
        return UniformProcess(world.seed, world.num_clients, self.size)

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when there are not enough clients."""
        if self.size > world.num_clients:
            yield "size", f"must not exceed the number of clients ({world.num_clients}), got {self.size}"
