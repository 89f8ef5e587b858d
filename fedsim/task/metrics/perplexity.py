"""Perplexity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from fedsim.task.loss import Answer
from fedsim.task.metric import Measured, TaskMetric, floats

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Perplexity(TaskMetric):
    """exp of the mean cross-entropy of a token: as if so many tokens were equally likely."""

    kind: Literal["perplexity"] = "perplexity"
    meaning: ClassVar[str] = "perplexity of the global model on the held-out split: exp of a token's mean cross-entropy"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    of: ClassVar[tuple[Answer, ...]] = ("classes",)

    def measure(self, output: Tensor, y: Tensor) -> Measured:
        """Return the sum of cross-entropies, and how many tokens there are."""
        from torch.nn.functional import cross_entropy

        return floats(cross_entropy(output, y, reduction="none").double().sum(), len(y))

    def value(self, whole: Measured) -> float:
        """Return exp(mean), infinite where that is more than a float holds."""
        total, count = whole
        with np.errstate(over="ignore"):
            return float(np.exp(total / count))
