"""The workloads of `benchmarks/results.md`: random examples, the same number for every client, plain SGD.

W1: logistic regression 60->10, 100 of 1,000 clients, 2 steps each. W2: a perceptron 784-200-10, 25 of 250, 5 steps.
W3: McMahan's CNN of 1.66 million parameters on 28x28 images, 10 of 100, 5 steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fedsim.core import ClientData, Examples, LocalWork
from fedsim.data import Partitioned
from fedsim.models import Model
from fedsim.models.cnn import Cnn
from fedsim.models.linear import Linear
from fedsim.models.mlp import Mlp

CLASSES = 10


@dataclass(frozen=True)
class Workload:
    """A population and what a cohort of it does in a round."""

    model: Model
    shape: tuple[int, ...]
    clients: int
    cohort: int
    examples: int
    work: LocalWork
    lanes: tuple[int | Literal["auto"], ...]

    def arrays(self) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.int64]]]:
        """Return all examples, client by client."""
        stream = np.random.default_rng(0)
        total = self.clients * self.examples
        return stream.random((total, *self.shape), dtype=np.float32), stream.integers(0, CLASSES, total)

    def data(self) -> ClientData:
        """Return the examples as client data."""
        x, y = self.arrays()
        offsets = np.arange(self.clients + 1) * self.examples
        return Partitioned(x, y, np.arange(len(y)), offsets, CLASSES, Examples(x[:10], y[:10]))

    def write(self, path: Path) -> Path:
        """Write the examples as an .npz file for `dataset: npz`."""
        x, y = self.arrays()
        owner = np.repeat(np.arange(self.clients), self.examples)
        np.savez(path, x=x, y=y, x_test=x[:200], y_test=y[:200], client=owner)
        return path

    def scenario(self, data: Path, rounds: int, engine: Mapping[str, Any]) -> dict[str, Any]:
        """Return the workload as a scenario without evaluations between rounds."""
        return {
            "name": "benchmark",
            "seed": 1,
            "rounds": rounds,
            "data": {"dataset": "npz", "path": str(data), "partition": {"kind": "natural", "column": "client"}},
            "model": {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self.model).items()},
            "client": {"local_epochs": 1, "batch_size": self.work.batch_size, "lr": self.work.lr},
            "participation": {"kind": "uniform", "size": self.cohort},
            "strategy": {"name": "fedavg"},
            "evaluate": {"every": 10**6},
            "engine": dict(engine),
        }


WORKLOADS = {
    "W1": Workload(Linear(), (60,), 1000, 100, 20, LocalWork(batch_size=10, lr=0.1), ("auto", 1, 25, 50, 100)),
    "W2": Workload(Mlp(hidden=(200,)), (784,), 250, 25, 100, LocalWork(batch_size=20, lr=0.1), ("auto", 1, 2, 5, 25)),
    "W3": Workload(
        Cnn(channels=(32, 64), kernel=5, dense=(512,)),
        (1, 28, 28),
        100,
        10,
        100,
        LocalWork(batch_size=20, lr=0.1),
        ("auto", 5),
    ),
}
