"""The plain loop: one client after the other, an nn.Module and autograd. The reference that the lanes are held to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedsim.clients.batches import Batches, draw
from fedsim.clients.kernels import feed
from fedsim.clients.kernels.base import LaneResult
from fedsim.clients.kernels.sgd import Sgd
from fedsim.clients.kernels.source import source
from fedsim.clients.kernels.tensors import Buffer, fresh
from fedsim.core import ClientData, Layout, LocalWork
from fedsim.core.client_half import PLAIN, Given
from fedsim.core.contracts import Ids, Parameters
from fedsim.task import Loss


class SequentialKernel:
    """Trains clients one by one; any model, any device."""

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
    ) -> None:
        self._module = module.to(device)
        self._weights = list(self._module.parameters())
        self._loss, self._layout = loss, layout
        self._source, self._work, self._seed, self._device = source(data, device), work, seed, device
        self._deltas = Buffer(layout.size, device)
        self._velocities = Buffer(layout.size, device)

    def train(
        self,
        params: Parameters,
        clients: Ids,
        round: int,
        velocity: npt.NDArray[np.float32] | None = None,
        given: Given = PLAIN,
    ) -> LaneResult:
        """Train the clients one after the other; see `Kernel.train`."""
        batches = draw(self._work, self._seed, round, clients, self._source.counts[clients])
        steps = batches.steps
        sgd = Sgd.of(self._work, round, given.pull)
        deltas = self._deltas.rows(len(clients))
        moving = self._velocities.rows(len(clients)) if sgd.momentum else None
        if moving is not None:
            _fill(moving, velocity, self._device)
        losses = torch.zeros(len(clients), dtype=torch.float64, device=self._device)
        starts = [] if params.ndim > 1 else self._cut(fresh(params, self._device))
        for place in range(len(clients)):
            if params.ndim > 1:
                starts = self._cut(fresh(params[place], self._device))
            speeds = None if moving is None else self._cut(moving[place])
            shift = None if given.shift is None else self._cut(fresh(given.shift[place], self._device))
            losses[place] = self._train_one(starts, clients, batches, place, sgd, speeds, shift)
            with torch.no_grad():
                for weight, start, delta in zip(self._weights, starts, self._cut(deltas[place]), strict=True):
                    torch.sub(weight, start, out=delta)
        return LaneResult(
            clients=clients,
            deltas=deltas.cpu().numpy(),
            losses=losses.cpu().numpy() / np.maximum(steps, 1),
            steps=steps,
            examples=batches.examples,
            velocity=None if moving is None else moving.cpu().numpy(),
        )

    def _train_one(
        self,
        starts: list[Tensor],
        clients: Ids,
        batches: Batches,
        place: int,
        sgd: Sgd,
        speeds: list[Tensor] | None,
        shift: list[Tensor] | None,
    ) -> Tensor:
        """Train the client at `place`, leaving its parameters in the module; return the sum of its steps' losses."""
        with torch.no_grad():
            for weight, start in zip(self._weights, starts, strict=True):
                weight.copy_(start)
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        for x, y in feed.alone(self._source, clients[place : place + 1], batches, place):
            loss = self._loss.mean(self._module(x), y)
            gradients = torch.autograd.grad(loss, self._weights)
            with torch.no_grad():
                total += loss
                for k, (weight, gradient) in enumerate(zip(self._weights, gradients, strict=True)):
                    if shift is not None:
                        gradient.add_(shift[k])
                    sgd.apply(weight, gradient, starts[k], None if speeds is None else speeds[k])
        return total

    def _cut(self, flat: Tensor) -> list[Tensor]:
        """Return views of a flat vector (d,) in the shapes of the parameters."""
        parts = torch.split(flat, list(self._layout.sizes))
        return [part.view(shape) for part, shape in zip(parts, self._layout.shapes, strict=True)]


def _fill(target: Tensor, values: npt.NDArray[np.float32] | None, device: torch.device) -> None:
    if values is None:
        target.zero_()
    else:
        target.copy_(fresh(values, device))
