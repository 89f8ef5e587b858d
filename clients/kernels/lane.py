"""Many clients in one stream: parameters stacked along a leading axis, one batched step for all who still have one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clients.batches import Batches, draw
from clients.kernels import feed
from clients.kernels.base import LaneResult
from clients.kernels.sgd import Sgd
from clients.kernels.tensors import Buffer, fresh
from fedsim.core import ClientData, Layout, LocalWork
from fedsim.core.contracts import Ids, Parameters


@dataclass(frozen=True)
class Stacked:
    """The parameters of A clients, tensor by tensor: entry k of each tuple has shape (A, *shapes[k]).

    Attributes
    ----------
    weights : moved in place by each step.
    starts : where the round began; (1, *shapes[k]) when all clients began at the same place.
    velocity : momentum buffers, moved in place; empty without momentum.
    """

    weights: tuple[Tensor, ...]
    starts: tuple[Tensor, ...]
    velocity: tuple[Tensor, ...]

    def first(self, count: int) -> Stacked:
        """Return views of the first `count` clients."""
        if count == len(self.weights[0]):
            return self
        starts = self.starts if len(self.starts[0]) == 1 else tuple(start[:count] for start in self.starts)
        return Stacked(tuple(w[:count] for w in self.weights), starts, tuple(v[:count] for v in self.velocity))

    def apply(self, sgd: Sgd, gradients: tuple[Tensor, ...]) -> None:
        """Take one SGD step in place; the gradients are used up."""
        for k, gradient in enumerate(gradients):
            sgd.apply(self.weights[k], gradient, self.starts[k], self.velocity[k] if self.velocity else None)


class Stepper(Protocol):
    """The mathematics of a lane: one SGD step of stacked clients."""

    @property
    def name(self) -> str:
        """The word for this kernel in logs and summaries."""

    def step(self, stacked: Stacked, batch: feed.Step, sgd: Sgd) -> Tensor:
        """Move the stacked parameters by one step and return the batches' mean losses (A,), as they were before it."""


class LaneKernel:
    """Trains a lane in one stream of batched operations, without waiting for the device in between.

    Clients are sorted by their number of steps, so those who still train are always the first ones: who has finished
    leaves the stream and is not touched again.
    """

    def __init__(
        self, stepper: Stepper, layout: Layout, data: ClientData, work: LocalWork, seed: int, device: torch.device
    ) -> None:
        self.name = stepper.name
        self._stepper, self._layout = stepper, layout
        self._data, self._work, self._seed, self._device = data, work, seed, device
        self._counts = data.num_examples
        self._weights = [Buffer(size, device) for size in layout.sizes]
        self._velocity = [Buffer(size, device) for size in layout.sizes]
        self._deltas = Buffer(layout.size, device)

    def train(
        self,
        params: Parameters,
        clients: Ids,
        round: int,
        velocity: npt.NDArray[np.float32] | None = None,
    ) -> LaneResult:
        """Train the clients of one lane; see `Kernel.train`."""
        batches = draw(self._work, self._seed, round, clients, self._counts[clients])
        steps = batches.steps
        order = np.argsort(-steps, kind="stable")
        straight = bool((order[1:] > order[:-1]).all())
        sgd = Sgd.of(self._work, round)
        inside = batches if straight else Batches(batches.positions[order], batches.sizes[order])
        with torch.no_grad():
            stacked = self._load(params, velocity, order, bool(sgd.momentum))
            losses = torch.zeros(len(clients), dtype=torch.float64, device=self._device)
            for batch in feed.steps(self._data, clients[order], inside, self._device):
                count = len(batch.x)
                losses[:count] += self._stepper.step(stacked.first(count), batch, sgd)
            deltas, moved = self._take(stacked)
        back = slice(None) if straight else np.argsort(order)
        return LaneResult(
            clients=clients,
            deltas=deltas[back],
            losses=losses.cpu().numpy()[back] / np.maximum(steps, 1),
            steps=steps,
            examples=batches.examples,
            velocity=None if moved is None else moved[back],
        )

    def _load(
        self, params: Parameters, velocity: npt.NDArray[np.float32] | None, order: Ids, momentum: bool
    ) -> Stacked:
        """Stack the parameters of the lane's clients, in the lane's order, into the buffers that are kept."""
        flat = fresh(params[None] if params.ndim == 1 else params[order], self._device)
        speeds = fresh(velocity[order], self._device) if momentum and velocity is not None else None
        starts, weights, moving = [], [], []
        for k, (first, shape) in enumerate(zip(self._layout.offsets, self._layout.shapes, strict=False)):
            here = slice(first, first + self._layout.sizes[k])
            starts.append(flat[:, here].unflatten(1, shape))
            weights.append(self._weights[k].rows(len(order)).copy_(flat[:, here]).unflatten(1, shape))
            if momentum:
                buffer = self._velocity[k].rows(len(order))
                moving.append((buffer.zero_() if speeds is None else buffer.copy_(speeds[:, here])).unflatten(1, shape))
        return Stacked(tuple(weights), tuple(starts), tuple(moving))

    def _take(self, stacked: Stacked) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """Return deltas (C, d) and momentum (C, d) or None, in the lane's order, on the host."""
        deltas = self._deltas.rows(len(stacked.weights[0]))
        parts = torch.split(deltas, list(self._layout.sizes), dim=1)
        for part, weight, start in zip(parts, stacked.weights, stacked.starts, strict=True):
            torch.sub(weight.flatten(1), start.flatten(1), out=part)
        moved = torch.cat([v.flatten(1) for v in stacked.velocity], dim=1) if stacked.velocity else None
        return deltas.cpu().numpy(), None if moved is None else moved.cpu().numpy()
