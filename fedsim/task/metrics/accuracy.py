"""Accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fedsim.task.loss import Answer
from fedsim.task.metric import Measured, TaskMetric, floats, labelled

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Accuracy(TaskMetric):
    """Share of labels that the model names correctly: of tokens one by one, of several labels each by itself."""

    kind: Literal["accuracy"] = "accuracy"
    meaning: ClassVar[str] = "share of the held-out split that the global model labels correctly"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    most: ClassVar[float] = 1.0
    of: ClassVar[tuple[Answer, ...]] = ("classes", "yes or no")

    def measure(self, output: Tensor, y: Tensor) -> Measured:
        """Return how many are right, and how many there are."""
        return floats((labelled(output, y) == y).sum(), y.numel())

    def value(self, whole: Measured) -> float:
        """Return right / all."""
        right, count = whole
        return float(right / count)
