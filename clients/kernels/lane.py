"""Many clients in one stream: parameters stacked along a leading axis, one batched step for all who still have one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedsim.clients.batches import Batches, draw
from fedsim.clients.kernels import feed
from fedsim.clients.kernels.base import LaneResult
from fedsim.clients.kernels.sgd import Sgd
from fedsim.clients.kernels.source import Source, source
from fedsim.clients.kernels.tensors import Buffer, fresh
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
        self.stepper, self.layout = stepper, layout
        self.source, self.work, self.seed, self.device = source(data, device), work, seed, device
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
        batches = draw(self.work, self.seed, round, clients, self.source.counts[clients])
        return self.go(self.source, batches, params, clients, round, velocity)

    @property
    def draws(self) -> LocalWork:
        """The local work as far as it decides which examples are drawn."""
        return replace(self.work, lr=0.0, lr_decay=1.0, momentum=0.0, weight_decay=0.0, proximal_mu=0.0)

    def go(
        self,
        source: Source,
        batches: Batches,
        params: Parameters | Tensor,
        clients: Ids,
        round: int,
        velocity: npt.NDArray[np.float32] | None = None,
        stepper: Stepper | None = None,
    ) -> LaneResult:
        """Train on batches that have been drawn, of examples that any source gives; `clients` are what it knows."""
        steps, order = batches.steps, batches.order
        sgd = Sgd.of(self.work, round)
        with torch.inference_mode():
            stacked = self._load(params, velocity, len(clients), order, bool(sgd.momentum))
            losses = torch.zeros(len(clients), dtype=torch.float64, device=self.device)
            for batch in self._steps(source, clients, batches, order):
                count = len(batch.x)
                losses[:count].add_((stepper or self.stepper).step(stacked.first(count), batch, sgd))
            deltas, moved = self._take(stacked)
        back = slice(None) if order is None else np.argsort(order)
        return LaneResult(
            clients=clients,
            deltas=deltas[back],
            losses=losses.cpu().numpy()[back] / np.maximum(steps, 1),
            steps=steps,
            examples=batches.examples,
            velocity=None if moved is None else moved[back],
        )

    def _steps(self, source: Source, clients: Ids, batches: Batches, order: Ids | None) -> Iterator[feed.Step]:
        if order is None:
            return feed.steps(source, clients, batches, self.device)
        return feed.steps(source, clients[order], batches.at(order), self.device)

    def _load(
        self,
        params: Parameters | Tensor,
        velocity: npt.NDArray[np.float32] | None,
        count: int,
        order: Ids | None,
        momentum: bool,
    ) -> Stacked:
        """Stack the parameters of `count` clients, in the lane's order, into the buffers that are kept."""
        flat = self._sorted(params[None] if params.ndim == 1 else params, order)
        speeds = None if velocity is None or not momentum else self._sorted(velocity, order)
        starts, weights, moving = [], [], []
        for k, (first, size) in enumerate(zip(self.layout.offsets, self.layout.sizes, strict=False)):
            here, shape = slice(first, first + size), self.layout.shapes[k]
            starts.append(flat[:, here].view(-1, *shape))
            weights.append(self._weights[k].rows(count).copy_(flat[:, here]).view(-1, *shape))
            if momentum:
                buffer = self._velocity[k].rows(count)
                moving.append((buffer.zero_() if speeds is None else buffer.copy_(speeds[:, here])).view(-1, *shape))
        return Stacked(tuple(weights), tuple(starts), tuple(moving))

    def _sorted(self, rows: npt.NDArray[np.float32] | Tensor, order: Ids | None) -> Tensor:
        if isinstance(rows, Tensor):
            return rows if order is None else rows[torch.from_numpy(order)]
        return fresh(rows if order is None or len(rows) == 1 else rows[order], self.device)

    def _take(self, stacked: Stacked) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """Return deltas (C, d) and momentum (C, d) or None, in the lane's order, on the host."""
        deltas = self._deltas.rows(len(stacked.weights[0]))
        parts = torch.split(deltas, list(self.layout.sizes), dim=1)
        for part, weight, start in zip(parts, stacked.weights, stacked.starts, strict=True):
            torch.sub(weight.flatten(1), start.flatten(1), out=part)
        moved = torch.cat([v.flatten(1) for v in stacked.velocity], dim=1) if stacked.velocity else None
        return deltas.cpu().numpy(), None if moved is None else moved.cpu().numpy()
