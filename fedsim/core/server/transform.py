"""What a server optimiser is: pure functions of a state that is a value, and of where the server stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core.layout import Layout

Vector = npt.NDArray[np.float64]
Parameters = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Server:
    """Where the server stands before it moves.

    Attributes
    ----------
    round : the round (1-based).
    params : (d,) the parameters x.
    rate : what the transformed update is multiplied by before it is added to x.
    layout : which entries of x are one tensor; None takes all of them for one.
    """

    round: int
    params: Parameters
    rate: float = 1.0
    layout: Layout | None = None


@dataclass(frozen=True)
class Moments:
    """First and second moment of the update (d,) each; (0,) where a transform keeps none."""

    first: Vector
    second: Vector


@dataclass(frozen=True)
class Counted:
    """Moments, and the number of updates that they are made of."""

    moments: Moments
    count: int


@dataclass(frozen=True, kw_only=True)
class Transform(ABC):
    """What stands under `server_optimizer:`: options are its fields, its state a value that a checkpoint can hold."""

    @abstractmethod
    def init(self, params: Parameters) -> Any:
        """Return the state before the first update of the parameters (d,)."""

    @abstractmethod
    def apply(self, state: Any, update: Vector, server: Server) -> tuple[Any, Vector]:
        """Return the next state and the transformed update (d,)."""

    def rest(self, state: Any, server: Server) -> tuple[Any, Vector | None]:
        """Return the next state and an update, None for no move, of a round in which the rule moves nothing."""
        return state, None
