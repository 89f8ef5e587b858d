"""Many clients in one stream: parameters stacked along a leading axis, one batched step for all who still have one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedsim.clients.augment import Augment
from fedsim.clients.batches import Batches, draw
from fedsim.clients.kernels import feed
from fedsim.clients.kernels.base import LaneResult
from fedsim.clients.kernels.source import Source, source
from fedsim.clients.kernels.stacked import Stacked, completed, parted
from fedsim.clients.kernels.tensors import Buffer, fresh
from fedsim.clients.kernels.update import Update
from fedsim.core import ClientData, Layout, LocalWork
from fedsim.core.client_half import PLAIN, Given
from fedsim.core.contracts import Ids, Parameters


class Stepper(Protocol):
    """The mathematics of a lane: one local step of stacked clients."""

    @property
    def name(self) -> str:
        """The word for this kernel in logs and summaries."""

    def step(self, stacked: Stacked, batch: feed.Step, update: Update) -> Tensor:
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
        self.update = Update.of(work)
        self._optimizer = self.update.optimizer
        self._slots = [[Buffer(size, device) for _ in range(self._optimizer.slots)] for size in layout.sizes]
        self._deltas = Buffer(layout.size, device)

    def train(
        self,
        params: Parameters,
        clients: Ids,
        round: int,
        kept: npt.NDArray[np.float32] | None = None,
        given: Given = PLAIN,
    ) -> LaneResult:
        """Train the clients of one lane; see `Kernel.train`."""
        batches = draw(self.work, self.seed, round, clients, self.source.counts[clients], given.taken)
        return self.go(self.source, batches, params, clients, round, kept, given)

    @property
    def draws(self) -> LocalWork:
        """The local work as far as it decides which examples are drawn."""
        return replace(self.work, lr=0.0, lr_decay=1.0, schedule=None, momentum=0.0, weight_decay=0.0, proximal_mu=0.0)

    def go(
        self,
        source: Source,
        batches: Batches,
        params: Parameters | Tensor,
        clients: Ids,
        round: int,
        kept: npt.NDArray[np.float32] | None = None,
        given: Given = PLAIN,
        stepper: Stepper | None = None,
    ) -> LaneResult:
        """Train on batches that have been drawn, of examples that any source gives; `clients` are what it knows."""
        steps, order = batches.steps, batches.order
        update = self.update.begun(round, given)
        with torch.inference_mode():
            stacked = self._load(params, kept, len(clients), order)
            if given.shift is not None:
                stacked = replace(stacked, shift=self._cut(self._sorted(given.shift, order)))
            losses = torch.zeros(len(clients), dtype=torch.float64, device=self.device)
            for number, batch in enumerate(self._steps(source, clients, batches, order, round), 1):
                count = len(batch.x)
                losses[:count].add_((stepper or self.stepper).step(stacked.first(count), batch, update.at(number)))
            deltas, slots = self._take(stacked)
        back = slice(None) if order is None else np.argsort(order)
        return LaneResult(
            clients=clients,
            deltas=deltas[back],
            losses=losses.cpu().numpy()[back] / np.maximum(steps, 1),
            steps=steps,
            examples=batches.examples,
            kept=None if slots is None else completed(self._optimizer, slots[back], steps, kept),
        )

    def _steps(
        self, source: Source, clients: Ids, batches: Batches, order: Ids | None, round: int
    ) -> Iterator[feed.Step]:
        augment = Augment.of(self.work, self.seed, round)
        if order is None:
            return feed.steps(source, clients, batches, self.device, augment)
        return feed.steps(source, clients[order], batches.at(order), self.device, augment)

    def _load(
        self, params: Parameters | Tensor, kept: npt.NDArray[np.float32] | None, count: int, order: Ids | None
    ) -> Stacked:
        """Stack the parameters of `count` clients, in the lane's order, into the buffers that are reused."""
        flat = self._sorted(params[None] if params.ndim == 1 else params, order)
        vectors, done = None, None
        if kept is not None and self._optimizer.slots:
            before, steps = parted(kept, self.layout.size, self._optimizer.slots)
            vectors = self._sorted(before, order)
            if steps is not None:
                done = torch.from_numpy(steps if order is None else steps[order]).to(self.device)
        starts, weights, slots = [], [], []
        for k, (first, size) in enumerate(zip(self.layout.offsets, self.layout.sizes, strict=False)):
            here, shape = slice(first, first + size), self.layout.shapes[k]
            starts.append(flat[:, here].view(-1, *shape))
            weights.append(self._weights[k].rows(count).copy_(flat[:, here]).view(-1, *shape))
            rows = [buffer.rows(count) for buffer in self._slots[k]]
            for slot, row in enumerate(rows):
                row.zero_() if vectors is None else row.copy_(vectors[:, slot, here])
            slots.append(tuple(row.view(-1, *shape) for row in rows))
        return Stacked(tuple(weights), tuple(starts), tuple(slots), done)

    def _cut(self, flat: Tensor) -> tuple[Tensor, ...]:
        """Return views of rows (C, d) in the shapes of the parameters."""
        parts = torch.split(flat, list(self.layout.sizes), dim=1)
        return tuple(part.view(-1, *shape) for part, shape in zip(parts, self.layout.shapes, strict=True))

    def _sorted(self, rows: npt.NDArray[np.float32] | Tensor, order: Ids | None) -> Tensor:
        if isinstance(rows, Tensor):
            return rows if order is None else rows[torch.from_numpy(order)]
        return fresh(rows if order is None or len(rows) == 1 else rows[order], self.device)

    def _take(self, stacked: Stacked) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """Return deltas (C, d) and the optimiser's slots (C, slots * d) or None, in the lane's order, on the host."""
        deltas = self._deltas.rows(len(stacked.weights[0]))
        parts = torch.split(deltas, list(self.layout.sizes), dim=1)
        for part, weight, start in zip(parts, stacked.weights, stacked.starts, strict=True):
            torch.sub(weight.flatten(1), start.flatten(1), out=part)
        if not self._optimizer.slots:
            return deltas.cpu().numpy(), None
        kept = torch.cat([slot.flatten(1) for slots in zip(*stacked.slots, strict=True) for slot in slots], dim=1)
        return deltas.cpu().numpy(), kept.cpu().numpy()
