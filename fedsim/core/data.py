"""What a dataset offers to clients: rows of examples, gathered by (client, position)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Inputs = npt.NDArray[np.float32] | npt.NDArray[np.int64]
"""Features (n, *shape): numbers, or token ids."""
Answers = npt.NDArray[np.int64] | npt.NDArray[np.float32]
"""Targets (n, *target_shape): classes or tokens as int64, numbers as float32."""


@dataclass(frozen=True)
class Examples:
    """Examples held in memory: features x (n, *shape) float32 or int64, targets y (n, *target_shape) int64 or float32.

    Labels are targets of shape () in int64.
    """

    x: Inputs
    y: Answers

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Targets:
    """What the targets of a dataset are.

    Attributes
    ----------
    shape : of one example's target; () for a label or a number.
    classes : C, when targets are classes or tokens 0..C-1 (int64); 0 when they are numbers (float32).
    integers : whether features are integers (tokens).
    """

    shape: tuple[int, ...]
    classes: int
    integers: bool = False

    @property
    def numbers(self) -> bool:
        """Whether targets are numbers, not classes."""
        return self.classes == 0

    @property
    def size(self) -> int:
        """How many numbers, classes or tokens a target has."""
        return prod(self.shape)

    @classmethod
    def of(cls, data: ClientData) -> Targets:
        """Return what a dataset's targets are; one that says nothing of their shape has labels."""
        features: Any = getattr(data, "input_dtype", np.float32)
        return cls(getattr(data, "target_shape", ()), data.num_classes, np.dtype(features).kind == "i")


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
        """Number of labels, or of tokens, C; 0 where targets are numbers.

        Data whose targets are no labels also has `target_shape`, the shape of one example's target, and data whose
        features are tokens `input_dtype`; who has neither has labels () and features in float32.
        """

    @property
    def test(self) -> Examples | None:
        """The held-out split for global evaluation; None when the objective itself is evaluated (quadratic)."""

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held."""

    def rows(self, clients: npt.NDArray[np.int64], positions: npt.NDArray[np.int64]) -> Examples:
        """Gather examples, fresh: clients (C,), positions (C, B) inside each -> x (C, B, *shape), y (C, B, *target).

        A position beyond a client's count is allowed and yields some valid row: the caller masks it.
        """

    def label_counts(self, clients: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
        """Return how many examples of each label each client holds, shape (N, C); of some `clients` only, if given.

        Shape (N, 0) where targets are no labels.
        """
