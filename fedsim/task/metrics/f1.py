"""Macro F1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from fedsim.task.loss import Answer
from fedsim.task.metric import Measured, TaskMetric, floats, labelled, scores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class F1(TaskMetric):
    """Macro F1: the mean over the labels of 2 TP / (2 TP + FP + FN).

    Of classes, those that neither occur nor are ever named are left out of the mean. Of several yes or no, each is a
    label, and one that neither occurs nor is named counts 0.
    """

    kind: Literal["f1"] = "f1"
    meaning: ClassVar[str] = "macro F1 of the global model on the held-out split: the mean over the labels"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    most: ClassVar[float] = 1.0
    of: ClassVar[tuple[Answer, ...]] = ("classes", "yes or no")

    def measure(self, output: Tensor, y: Tensor) -> Measured:
        """Return of each label how often it is named and right, named, and there, and whether labels are classes."""
        import torch

        found = labelled(output, y)
        if scores(output, y):
            classes = output.shape[1]
            right = torch.bincount(y[found == y], minlength=classes)
            return floats(right, torch.bincount(found, minlength=classes), torch.bincount(y, minlength=classes), 1)
        yes, true = found.reshape(len(y), -1) > 0, y.reshape(len(y), -1) > 0
        return floats((yes & true).sum(0), yes.sum(0), true.sum(0), 0)

    def value(self, whole: Measured) -> float:
        """Return the mean over the labels."""
        right, named, there, classes = whole
        each = 2 * right / np.maximum(named + there, 1)
        return float(each[(named + there > 0) | (classes == 0)].mean())
