"""Small data for tests of training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.clients.kernels import LaneResult
from fedsim.clients.training import Trainer
from fedsim.core import Examples, LocalWork
from fedsim.data import Partitioned
from fedsim.models import Model

COUNTS = np.array([5, 12, 1, 9, 0, 20, 7])


def ragged(shape: tuple[int, ...], counts: npt.NDArray[np.int64] = COUNTS, classes: int = 4) -> Partitioned:
    """Return random examples, `counts[i]` of them for client i."""
    stream = np.random.default_rng(3)
    total = int(counts.sum())
    x = stream.standard_normal((total, *shape)).astype(np.float32)
    y = stream.integers(0, classes, total)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    order = stream.permutation(total)
    for array in (x, y, order, offsets):
        array.setflags(write=False)
    return Partitioned(x, y, order, offsets, classes, Examples(x[:5], y[:5]))


def answering(data: Partitioned, y: npt.NDArray[Any], classes: int = 0) -> Partitioned:
    """Return the same examples with other targets, one for each; `classes` 0 when they are numbers."""
    y.setflags(write=False)
    assert data.test is not None
    return replace(data, y=y, num_classes=classes, test=Examples(data.test.x, y[: len(data.test)]))


def collect(trainer: Trainer, clients: npt.NDArray[np.int64], round: int = 2, **kwargs: Any) -> LaneResult:
    """Train clients and join the results of their lanes."""
    params = kwargs.pop("params", None)
    params = trainer.initial() if params is None else params
    results = [result.at(np.arange(len(result.clients))) for result in trainer.lanes(params, clients, round, **kwargs)]
    fields = ("clients", "deltas", "losses", "steps", "examples")
    joined = {name: np.concatenate([getattr(result, name) for result in results]) for name in fields}
    speeds = [result.kept for result in results if result.kept is not None]
    return LaneResult(**joined, kept=np.concatenate(speeds) if speeds else None)


def train(
    model: Model, work: LocalWork, data: Partitioned, clients: npt.NDArray[np.int64], **kwargs: Any
) -> LaneResult:
    """Train clients from the model's own start."""
    return collect(Trainer(model, work, data, seed=7), clients, **kwargs)
