"""The area under the ROC curve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from fedsim.task.loss import Answer
from fedsim.task.metric import Measured, TaskMetric, floats, scores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Auroc(TaskMetric):
    """Area under the ROC curve, exact, by torchmetrics (the extra `metrics`): macro, each class against the others.

    Of several yes or no, it is the mean over them; what always or never occurs is left out. It keeps the outputs of
    all test examples until the end of an evaluation.
    """

    kind: Literal["auroc"] = "auroc"
    meaning: ClassVar[str] = "area under the ROC curve of the global model on the held-out split, macro"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    most: ClassVar[float] = 1.0
    of: ClassVar[tuple[Answer, ...]] = ("classes", "yes or no")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when the extra is not installed."""
        if find_spec("torchmetrics") is None:
            yield "", "auroc needs the package torchmetrics: pip install torchmetrics"

    def measure(self, output: Tensor, y: Tensor) -> Measured:
        """Return outputs and targets as they are, and whether they are classes."""
        classes = scores(output, y)
        return floats(output if classes else output.reshape(len(y), -1), y if classes else y.reshape(len(y), -1))

    def add(self, one: Measured, other: Measured) -> Measured:
        """Return both parts, one after the other."""
        return tuple(np.concatenate(pair) for pair in zip(one, other, strict=True))

    def value(self, whole: Measured) -> float:
        """Return the mean area over those that both occur and do not; NaN where there are none."""
        output, y = whole
        if output.ndim > y.ndim:
            powers = np.exp(output - output.max(axis=1, keepdims=True))
            output, y = powers / powers.sum(axis=1, keepdims=True), y[:, None] == np.arange(output.shape[1])
        mixed = [k for k in range(y.shape[1]) if 0 < np.count_nonzero(y[:, k]) < len(y)]
        return float(np.mean([_area(output[:, k], y[:, k]) for k in mixed])) if mixed else nan


def _area(scores: npt.NDArray[np.float64], y: npt.NDArray[Any]) -> float:
    """Return the area for scores (n,) of yes or no (n,): of their ranks, as torchmetrics squeezes what is beyond 1."""
    import torch
    from torchmetrics.functional.classification import binary_auroc

    ranks = np.unique(scores, return_inverse=True)[1] / len(scores)
    return float(binary_auroc(torch.from_numpy(ranks), torch.from_numpy(y != 0).long()))
