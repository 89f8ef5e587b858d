"""What a dataset offers to clients: rows of examples, gathered by (client, position)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Examples:
    """Examples held in memory: features x (n, *shape) float32 and labels y (n,) int64."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)


class ClientData(Protocol):
    """The training data of all clients, and the held-out test split.

    Implementations are plain dataclasses of arrays, so that Ray can share them between hosts without a copy. The
    arrays may be read-only.
    """

    @property
    def num_clients(self) -> int:
        """N."""

    @property
    def num_examples(self) -> npt.NDArray[np.int64]:
        """Examples of each client, shape (N,)."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example's features, channels first for images."""

    @property
    def num_classes(self) -> int:
        """Number of labels C."""

    @property
    def test(self) -> Examples | None:
        """The held-out split for global evaluation; None when the objective itself is evaluated (quadratic)."""

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held."""

    def rows(self, clients: npt.NDArray[np.int64], positions: npt.NDArray[np.int64]) -> Examples:
        """Gather examples: clients (C,), positions (C, B) inside each client -> x (C, B, *shape), y (C, B), fresh.

        A position beyond a client's count is allowed and yields some valid row: the caller masks it.
        """

    def label_counts(self, clients: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
        """Return how many examples of each label each client holds, shape (N, C); of some `clients` only, if given."""
