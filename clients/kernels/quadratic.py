"""Local work on f_i(w) = curvature_i / 2 ||w - c_i||^2, in closed arithmetic: no model, no autograd."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from fedsim.clients.kernels.base import LaneResult
from fedsim.clients.kernels.stacked import Stacked, completed, parted
from fedsim.clients.kernels.update import Update
from fedsim.core import LocalWork, rng
from fedsim.core.client_half import PLAIN, Given
from fedsim.core.contracts import Ids, Parameters
from fedsim.data import QuadraticData

Matrix = npt.NDArray[np.float64]


class QuadraticKernel:
    """Trains all clients of a lane together: gradient curvature_i (w - c_i) + noise z, z ~ N(0, I).

    z is drawn for (seed, round, client, step). Arithmetic is float64 and the delta is rounded to float32 once, so a
    toy example in halves and quarters comes out exactly. Every client has one example: an epoch is one step.
    """

    name = "quadratic"

    def __init__(self, data: QuadraticData, work: LocalWork, seed: int) -> None:
        self._data, self._work, self._seed = data, work, seed
        self._update = Update.of(work)

    @np.errstate(over="ignore", invalid="ignore")  # what overflows is refused, by name, where deltas are gated
    def train(
        self,
        params: Parameters,
        clients: Ids,
        round: int,
        kept: npt.NDArray[np.float32] | None = None,
        given: Given = PLAIN,
    ) -> LaneResult:
        """Train the clients of a lane; see `Kernel.train`."""
        update = self._update.begun(round, given)
        work = update.work
        centers, curvature = self._data.centers[clients], self._data.curvature[clients, None]
        start = np.broadcast_to(params.astype(np.float64), centers.shape)
        local = start.copy()
        slots, done = np.zeros((len(clients), update.optimizer.slots, local.shape[1])), None
        if kept is not None and update.optimizer.slots:
            before, done = parted(kept, local.shape[1], update.optimizer.slots)
            slots[:] = before
        losses = np.zeros(len(clients))
        steps = work.local_steps or work.epochs or 1
        key = rng.digest(self._seed, "noise", round)
        for step in range(steps):
            away = local - centers
            losses += 0.5 * curvature[:, 0] * (away * away).sum(axis=1)
            gradient = curvature * away
            if update.heavy_ball:
                gradient = gradient + work.weight_decay * local + work.proximal_mu * (local - start)
            if self._data.noise:
                gradient += self._data.noise * _normals(key, clients, step, centers.shape[1])
            if given.shift is not None:
                gradient += given.shift
            _move(update.at(step + 1), local, start, slots, done, gradient)
        taken = np.full(len(clients), steps, np.int64)
        return LaneResult(
            clients=clients,
            deltas=(local - start).astype(np.float32),
            losses=losses / steps,
            steps=taken,
            examples=taken,
            kept=completed(update.optimizer, slots.reshape(len(clients), -1).astype(np.float32), taken, kept),
        )


def _move(
    update: Update, local: Matrix, start: Matrix, slots: Matrix, done: npt.NDArray[np.float64] | None, gradient: Matrix
) -> None:
    """Take one step in place: local, start and gradient are (C, d), slots (C, S, d)."""
    if update.heavy_ball:
        if update.optimizer.slots:
            gradient = slots[:, 0] = update.work.momentum * slots[:, 0] + gradient
        local -= update.rate * gradient
        return
    vectors = tuple(torch.from_numpy(slots[:, slot]) for slot in range(slots.shape[1]))
    stacked = Stacked(
        (torch.from_numpy(local),),
        (torch.from_numpy(np.ascontiguousarray(start)),),
        (vectors,),
        None if done is None else torch.from_numpy(done),
    )
    stacked.apply(update, [torch.from_numpy(gradient)])


def _normals(key: int, clients: Ids, step: int, size: int) -> Matrix:
    """Return standard normal numbers (C, size) for each (client, step, coordinate), by Box and Muller's transform."""
    coordinates = np.arange(size)[None, :]
    radius = rng.uniforms(key, clients[:, None], step, coordinates, 0)
    angle = rng.uniforms(key, clients[:, None], step, coordinates, 1)
    normals: Matrix = np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle)
    return normals
