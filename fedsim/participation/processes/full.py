"""Everybody, always."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedsim.core import World
from fedsim.core.contracts import Ids, Vector
from fedsim.participation.config import Participation


@dataclass(frozen=True)
class FullProcess:
    """All clients in every round."""

    num_clients: int
    period: ClassVar[int] = 1

    def cohort(self, round: int) -> Ids:
        """Return all ids."""
        return np.arange(self.num_clients, dtype=np.int64)

    @property
    def probabilities(self) -> Vector:
        """Ones (N,)."""
        return np.ones(self.num_clients)


@dataclass(frozen=True, kw_only=True)
class Full(Participation):
    """Every client takes part in every round."""

    kind: Literal["full"] = "full"

    def bare(self, world: World) -> FullProcess:
        """Return the process in a world."""
        return FullProcess(world.num_clients)
