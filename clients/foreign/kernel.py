"""Foreign local work as a kernel: one client after the other, each with the state it left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fedsim.clients.foreign.model import Loaded
from fedsim.clients.kernels.base import LaneResult
from fedsim.core import ClientData, LocalWork
from fedsim.core.client_half import PLAIN, Given
from fedsim.core.contracts import Ids, Parameters
from fedsim.core.foreign.failures import ForeignError

Shared = Mapping[str, npt.NDArray[Any]]
"""Vectors (d,) that the server sends to all beside the model, by name."""
LOSSES = ("loss", "train_loss", "train-loss")
"""Names of the metric that counts as the client's training loss."""


@dataclass(frozen=True)
class Trained:
    """What one client's foreign work came to: the delta (d,), the buffers (b,), what went in, is told, and is kept."""

    delta: npt.NDArray[np.float32]
    buffers: npt.NDArray[np.float32]
    steps: int
    examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: bytes | None = None


@dataclass(frozen=True)
class Carried:
    """What foreign work begins with: what its clients left, by client, and what the server sends to all, by name."""

    states: Mapping[int, bytes]
    shared: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


class Work(Protocol):
    """Foreign local work at a host, ready to train clients."""

    def train(self, client: int, round: int, start: Parameters, state: bytes | None, shared: Shared) -> Trained:
        """Train one client from a model (d + b,); a pure function of these five and the run's seed.

        Raises
        ------
        ForeignError : the foreign code failed, with its file and line.
        """


class Opens(Protocol):
    """What makes foreign work ready on a host; it travels there by pickle."""

    def open(self, model: Loaded, data: ClientData, work: LocalWork, seed: int) -> Work:
        """Return the work; what cannot be loaded is a ScenarioError."""

    def describe(self) -> str:
        """Return what trains, in a few words."""


class ForeignKernel:
    """Trains clients one by one by foreign work; see `Kernel`."""

    name = "foreign"

    def __init__(self, work: Work) -> None:
        self._work = work

    def train(
        self,
        params: Parameters,
        clients: Ids,
        round: int,
        kept: npt.NDArray[np.float32] | None = None,
        given: Given = PLAIN,
        carried: Carried | None = None,
    ) -> LaneResult:
        """Train the clients one after the other."""
        assert given.shift is None, "foreign work makes its own gradients"
        assert not given.pull, "foreign work makes its own gradients"
        begins, done = carried or Carried({}), []
        for place, client in enumerate(clients.tolist()):
            start = np.array(params if params.ndim == 1 else params[place], np.float32)
            start.setflags(write=False)
            done.append(self._work.train(client, round, start, begins.states.get(client), begins.shared))
        losses = [next((one.metrics[name] for name in LOSSES if name in one.metrics), float("nan")) for one in done]
        return LaneResult(
            clients=clients,
            deltas=np.stack([one.delta for one in done]),
            losses=np.array(losses, np.float64),
            steps=np.array([one.steps for one in done], np.int64),
            examples=np.array([one.examples for one in done], np.int64),
            buffers=np.stack([one.buffers for one in done]) if done[0].buffers.size else None,
            states=tuple(one.state for one in done),
            metrics=tuple(one.metrics for one in done),
        )


def numbers(metrics: object, where: str) -> dict[str, float]:
    """Return metrics as plain numbers by name.

    Raises
    ------
    ForeignError : they are not numbers by name, or not finite.
    """
    if not isinstance(metrics, Mapping):
        raise ForeignError(f"{where}: metrics should be numbers by name, got a {type(metrics).__name__}")
    found = {}
    for name, value in metrics.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = None
        if number is None or not isinstance(name, str) or not isfinite(number):
            raise ForeignError(f"{where}: metric {name!r} should be a finite number, got {str(value)[:60]}")
        found[name] = number
    return found
