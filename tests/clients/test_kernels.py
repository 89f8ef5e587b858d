"""The three kernels carry out the same local work; the plain loop is held to torch.optim.SGD, the lanes to the loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from clients.batches import draw
from clients.kernels import LaneResult
from clients.training import Trainer
from fedsim.core import Examples, LocalWork
from fedsim.data import Partitioned
from fedsim.models import Cnn, LeNet, Linear, Mlp, Model, ResNet18
from fedsim.models.building import build

COUNTS = np.array([5, 12, 1, 9, 0, 20, 7])
EVERYTHING = {"momentum": 0.5, "weight_decay": 0.1, "proximal_mu": 0.3, "lr_decay": 0.9}
MODELS: dict[str, tuple[Model, tuple[int, ...]]] = {
    "linear": (Linear(), (6,)),
    "mlp": (Mlp(hidden=(8, 5)), (2, 3)),
    "lenet": (LeNet(), (1, 12, 12)),
    "cnn": (Cnn(channels=(3, 4), dense=(8,)), (2, 8, 8)),
    "resnet18-gn": (ResNet18(), (1, 4, 4)),
}


def ragged(shape: tuple[int, ...], counts: np.ndarray = COUNTS, classes: int = 4) -> Partitioned:
    stream = np.random.default_rng(3)
    total = int(counts.sum())
    x = stream.standard_normal((total, *shape)).astype(np.float32)
    y = stream.integers(0, classes, total)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Partitioned(x, y, np.arange(total), offsets, classes, Examples(x[:5], y[:5]))


def train(model: Model, work: LocalWork, data: Partitioned, clients: np.ndarray, round: int = 2, **kwargs: Any) -> LaneResult:
    trainer = Trainer(model, work, data, seed=7)
    params = kwargs.pop("params", trainer.initial())
    results = [result.at(np.arange(len(result.clients))) for result in trainer.lanes(params, clients, round, **kwargs)]
    fields = ("clients", "deltas", "losses", "steps", "examples")
    joined = {name: np.concatenate([getattr(r, name) for r in results]) for name in fields}
    speeds = [r.velocity for r in results if r.velocity is not None]
    return LaneResult(**joined, velocity=np.concatenate(speeds) if speeds else None)


def assert_close(got: LaneResult, wanted: LaneResult) -> None:
    scale = np.abs(wanted.deltas).max()
    np.testing.assert_allclose(got.deltas, wanted.deltas, rtol=1e-5, atol=1e-5 * scale)
    np.testing.assert_allclose(got.losses, wanted.losses, rtol=1e-5)
    np.testing.assert_array_equal(got.clients, wanted.clients)
    np.testing.assert_array_equal(got.steps, wanted.steps)
    np.testing.assert_array_equal(got.examples, wanted.examples)
    if wanted.velocity is not None:
        assert got.velocity is not None
        np.testing.assert_allclose(got.velocity, wanted.velocity, rtol=1e-5, atol=1e-5 * np.abs(wanted.velocity).max())


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("amount", [{"local_epochs": 2}, {"local_steps": 4}], ids=["epochs", "steps"])
@pytest.mark.parametrize("name", MODELS)
def test_a_lane_equals_the_plain_loop(name: str, amount: dict[str, int], options: dict[str, float]) -> None:
    model, shape = MODELS[name]
    counts = COUNTS[:4] if name == "resnet18-gn" else COUNTS
    data, clients = ragged(shape, counts), np.arange(len(counts))
    work = LocalWork(batch_size=4, lr=0.02, lane=1, **amount, **options)
    assert_close(
        train(model, replace(work, lane=len(clients)), data, clients),
        train(model, work, data, clients),
    )
