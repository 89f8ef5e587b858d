"""The coefficient of determination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from fedsim.task.loss import Answer
from fedsim.task.metric import Measured, TaskMetric, floats

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class R2(TaskMetric):
    """R^2 = 1 - sum (y - output)^2 / sum (y - mean y)^2, the mean over the numbers of a target.

    Where the targets do not vary it is 1 for outputs that are right, else 0. Parts add up by the rule of Chan, Golub
    and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979: sums of squares
    would cancel.
    """

    kind: Literal["r2"] = "r2"
    meaning: ClassVar[str] = "coefficient of determination R^2 of the global model on the held-out split"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    signed: ClassVar[bool] = True
    most: ClassVar[float] = 1.0
    of: ClassVar[tuple[Answer, ...]] = ("numbers",)

    def measure(self, output: Tensor, y: Tensor) -> Measured:
        """Return the count, and for each number of a target its mean, its squared deviations, and squared errors."""
        wanted, given = y.double().reshape(len(y), -1), output.double().reshape(len(y), -1)
        mean = wanted.mean(0)
        return floats(len(y), mean, (wanted - mean).square().sum(0), (wanted - given).square().sum(0))

    def add(self, one: Measured, other: Measured) -> Measured:
        """Return what two parts came to together."""
        (n, mean, spread, error), (m, mean2, spread2, error2) = one, other
        away = mean2 - mean
        return (
            np.asarray(n + m),
            mean + away * (m / (n + m)),
            spread + spread2 + away**2 * (n * m / (n + m)),
            error + error2,
        )

    def value(self, whole: Measured) -> float:
        """Return the mean over the numbers of a target."""
        _, _, spread, error = whole
        varies = spread > 0
        each = np.where(varies, 1 - error / np.where(varies, spread, 1), np.where(error > 0, 0.0, 1.0))
        return float(each.mean())
