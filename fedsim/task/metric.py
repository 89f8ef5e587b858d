"""What every entry under `task: {metrics: [...]}` is: a frozen config that measures batches, whose measures add up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from fedsim.task.loss import Answer

if TYPE_CHECKING:
    from torch import Tensor

Measured = tuple[npt.NDArray[np.float64], ...]
"""What a batch came to: arrays, at least one."""


@dataclass(frozen=True, kw_only=True)
class TaskMetric(ABC):
    """A metric of the task. Concrete classes carry `kind: Literal["..."]`, the word in the scenario.

    `measure` sees outputs and targets entry by entry, as the loss reads them (`Loss.read`). A file of a metric loads
    torch where it computes, so that reading a scenario does not.
    """

    kind: str
    """The word that chooses this metric."""

    meaning: ClassVar[str]
    """What it is, in a line."""
    better: ClassVar[Literal["higher", "lower"] | None]
    """Which way is better, None when neither is."""
    unit: ClassVar[str] = "1"
    """Its unit; 1 for a pure number."""
    signed: ClassVar[bool] = False
    """Whether it may be negative."""
    most: ClassVar[float] = inf
    """No value is above."""
    of: ClassVar[tuple[Answer, ...]]
    """For which answers it has a meaning."""

    @property
    def name(self) -> str:
        """Its name, as in `test_<name>`."""
        return self.kind

    @property
    def told(self) -> str:
        """What it is, in a line, with its options."""
        return self.meaning

    @abstractmethod
    def measure(self, output: Tensor, y: Tensor) -> Measured:
        """Return what a batch came to, from outputs and targets."""

    def add(self, one: Measured, other: Measured) -> Measured:
        """Return what two parts came to together: sums add up."""
        return tuple(a + b for a, b in zip(one, other, strict=True))

    @abstractmethod
    def value(self, whole: Measured) -> float:
        """Return the metric, from what all batches came to."""


def scores(output: Tensor, y: Tensor) -> bool:
    """Whether outputs are scores of classes (n, C) for classes (n,), not answers in the targets' shape."""
    return output.ndim == y.ndim + 1


def labelled(output: Tensor, y: Tensor) -> Tensor:
    """Return the labels that outputs name: the class with the highest score, or 1 where an answer is above 0."""
    return output.argmax(dim=-1) if scores(output, y) else (output > 0).to(y.dtype)


def floats(*values: float | Sequence[float] | Tensor) -> Measured:
    """Return numbers, or tensors of them, as float64 arrays."""
    return tuple(
        np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float64) for value in values
    )
