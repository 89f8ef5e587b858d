"""Local work on f_i(w) = curvature_i / 2 ||w - c_i||^2, in closed arithmetic: no model, no autograd."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedsim.clients.kernels.base import LaneResult
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

    @np.errstate(over="ignore", invalid="ignore")  # what overflows is refused, by name, where deltas are gated
    def train(
        self,
        params: Parameters,
        clients: Ids,
        round: int,
        velocity: npt.NDArray[np.float32] | None = None,
        given: Given = PLAIN,
    ) -> LaneResult:
        """Train the clients of a lane; see `Kernel.train`."""
        work, lr, mu = self._work, self._work.rate(round), self._work.proximal_mu + given.pull
        centers, curvature = self._data.centers[clients], self._data.curvature[clients, None]
        start = np.broadcast_to(params.astype(np.float64), centers.shape)
        local = start.copy()
        moving = np.zeros_like(local) if velocity is None else velocity.astype(np.float64)
        losses = np.zeros(len(clients))
        steps = work.local_steps or work.epochs or 1
        key = rng.digest(self._seed, "noise", round)
        for step in range(steps):
            away = local - centers
            losses += 0.5 * curvature[:, 0] * (away * away).sum(axis=1)
            gradient = curvature * away + work.weight_decay * local + mu * (local - start)
            if given.shift is not None:
                gradient += given.shift
            if self._data.noise:
                gradient += self._data.noise * _normals(key, clients, step, centers.shape[1])
            moving = work.momentum * moving + gradient
            local -= lr * moving
        done = np.full(len(clients), steps, np.int64)
        return LaneResult(
            clients=clients,
            deltas=(local - start).astype(np.float32),
            losses=losses / steps,
            steps=done,
            examples=done,
            velocity=moving.astype(np.float32) if work.momentum else None,
        )


def _normals(key: int, clients: Ids, step: int, size: int) -> Matrix:
    """Return standard normal numbers (C, size) for each (client, step, coordinate), by Box and Muller's transform."""
    coordinates = np.arange(size)[None, :]
    radius = rng.uniforms(key, clients[:, None], step, coordinates, 0)
    angle = rng.uniforms(key, clients[:, None], step, coordinates, 1)
    normals: Matrix = np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle)
    return normals
