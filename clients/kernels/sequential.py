"""The plain loop: one client after the other, an nn.Module and autograd. The reference that the lanes are held to."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedsim.clients.augment import Augment
from fedsim.clients.batches import Batches, draw
from fedsim.clients.kernels import feed
from fedsim.clients.kernels.base import LaneResult
from fedsim.clients.kernels.source import source
from fedsim.clients.kernels.stacked import Stacked, completed, parted
from fedsim.clients.kernels.tensors import Buffer, fresh
from fedsim.clients.kernels.update import Update
from fedsim.core import ClientData, Layout, LocalWork, rng
from fedsim.core.client_half import PLAIN, Given
from fedsim.core.contracts import Ids, Parameters
from fedsim.models.modules import draws
from fedsim.models.modules.building import trained
from fedsim.models.modules.held import Held, resting
from fedsim.task import Loss


class SequentialKernel:
    """Trains clients one by one; any model, any device.

    `held` are the module's buffers. `own` says that the module is somebody's own: every draw of its own in a step is
    keyed by (seed, round, client, step). `few` are its parts that are in eval mode where a batch is a single example.
    """

    name = "sequential"

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        layout: Layout,
        data: ClientData,
        work: LocalWork,
        seed: int,
        device: torch.device,
        held: Held | None = None,
        *,
        own: bool = False,
        few: tuple[nn.Module, ...] = (),
    ) -> None:
        self._module = module.to(device)
        self._weights = trained(self._module)
        self._alone = tuple(weight.detach().unsqueeze(0) for weight in self._weights)
        self._held, self._own, self._few = held, own, few
        self._loss, self._layout = loss, layout
        self._source, self._work, self._seed, self._device = source(data, device), work, seed, device
        self._deltas = Buffer(layout.size, device)
        self._update = Update.of(work)
        self._optimizer = self._update.optimizer
        self._slots = Buffer(layout.size * self._optimizer.slots, device)

    def train(
        self,
        params: Parameters,
        clients: Ids,
        round: int,
        kept: npt.NDArray[np.float32] | None = None,
        given: Given = PLAIN,
    ) -> LaneResult:
        """Train the clients one after the other; see `Kernel.train`."""
        batches = draw(self._work, self._seed, round, clients, self._source.counts[clients], given.taken)
        steps, update, size = batches.steps, self._update.begun(round, given), self._layout.size
        deltas, slots = self._deltas.rows(len(clients)), self._slots.rows(len(clients))
        done = self._fill(slots, kept)
        losses = torch.zeros(len(clients), dtype=torch.float64, device=self._device)
        starts = [] if params.ndim > 1 else self._cut(fresh(params[:size], self._device))
        buffers = None if self._held is None else torch.empty((len(clients), self._held.size), device=self._device)
        with draws.kept(self._device) if self._own else nullcontext():
            for place in range(len(clients)):
                if params.ndim > 1:
                    starts = self._cut(fresh(params[place, :size], self._device))
                if self._held is not None:
                    self._held.load(fresh((params if params.ndim == 1 else params[place])[size:], self._device))
                stacked = self._stack(starts, slots[place], None if done is None else done[place : place + 1])
                if given.shift is not None:
                    shift = self._cut(fresh(given.shift[place], self._device))
                    stacked = replace(stacked, shift=tuple(part.unsqueeze(0) for part in shift))
                losses[place] = self._train_one(stacked, clients, batches, place, update, round)
                with torch.no_grad():
                    for weight, start, delta in zip(self._weights, starts, self._cut(deltas[place]), strict=True):
                        torch.sub(weight, start, out=delta)
                if buffers is not None and self._held is not None:
                    buffers[place] = self._held.read()
        return LaneResult(
            clients=clients,
            deltas=deltas.cpu().numpy(),
            losses=losses.cpu().numpy() / np.maximum(steps, 1),
            steps=steps,
            examples=batches.examples,
            kept=completed(self._optimizer, slots.cpu().numpy(), steps, kept),
            buffers=None if buffers is None else buffers.cpu().numpy(),
        )

    def _fill(self, slots: Tensor, kept: npt.NDArray[np.float32] | None) -> Tensor | None:
        """Put what clients kept into the rows of `slots`, or zeros; return the steps that they had done, if any."""
        if kept is None or not self._optimizer.slots:
            slots.zero_()
            return None
        vectors, done = parted(kept, self._layout.size, self._optimizer.slots)
        slots.copy_(fresh(vectors.reshape(len(vectors), -1), self._device))
        return None if done is None else torch.from_numpy(done).to(self._device)

    def _stack(self, starts: list[Tensor], slots: Tensor, done: Tensor | None) -> Stacked:
        """Put a client at its start, and return its parameters as a stack of one."""
        with torch.no_grad():
            for weight, start in zip(self._weights, starts, strict=True):
                weight.copy_(start)
        vectors = [self._cut(row) for row in slots.view(-1, self._layout.size)] if len(slots) else []
        return Stacked(
            self._alone,
            tuple(start.unsqueeze(0) for start in starts),
            tuple(tuple(vector[k].unsqueeze(0) for vector in vectors) for k in range(len(starts))),
            done,
        )

    def _train_one(
        self, stacked: Stacked, clients: Ids, batches: Batches, place: int, update: Update, round: int
    ) -> Tensor:
        """Train the client at `place`, whose parameters the module holds; return the sum of its steps' losses."""
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        augment = Augment.of(self._work, self._seed, round)
        examples = feed.alone(self._source, clients[place : place + 1], batches, place, augment)
        for number, (x, y) in enumerate(examples, 1):
            if self._own:
                draws.turn(rng.digest(self._seed, "draws", round, int(clients[place]), number), self._device)
            with resting(self._few if len(x) == 1 else ()):
                loss = self._loss.mean(self._module(x), y)
            gradients = torch.autograd.grad(loss, self._weights, allow_unused=True, materialize_grads=True)
            with torch.no_grad():
                total += loss
                stacked.apply(update.at(number), [gradient.unsqueeze(0) for gradient in gradients])
        return total

    def _cut(self, flat: Tensor) -> list[Tensor]:
        """Return views of a flat vector (d,) in the shapes of the parameters."""
        parts = torch.split(flat, list(self._layout.sizes))
        return [part.view(shape) for part, shape in zip(parts, self._layout.shapes, strict=True)]
