"""Mean squared error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fedsim.task.loss import Answer
from fedsim.task.metric import Measured, TaskMetric, floats

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MeanSquaredError(TaskMetric):
    """Mean of (output - y)^2 over all numbers of the targets."""

    kind: Literal["mse"] = "mse"
    meaning: ClassVar[str] = "mean squared error of the global model on the held-out split"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    of: ClassVar[tuple[Answer, ...]] = ("numbers",)

    def measure(self, output: Tensor, y: Tensor) -> Measured:
        """Return the sum of squares, and how many numbers there are."""
        return floats((output.double() - y.double()).square().sum(), y.numel())

    def value(self, whole: Measured) -> float:
        """Return the mean."""
        total, count = whole
        return float(total / count)
