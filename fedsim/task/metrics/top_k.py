"""Accuracy among the k best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Le

from fedsim.task.loss import Answer
from fedsim.task.metric import Measured, TaskMetric, floats

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TopK(TaskMetric):
    """Share of labels that are among the k classes with the highest scores; `top_5` is `{kind: top_k, k: 5}`.

    Of classes with the same score those with the lower number come first.
    """

    kind: Literal["top_k"] = "top_k"
    k: Annotated[int, Ge(1), Le(999_999)] = 5
    """How many classes may be named."""
    meaning: ClassVar[str] = "share of the held-out split whose label is among the k classes with the highest scores"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    most: ClassVar[float] = 1.0
    of: ClassVar[tuple[Answer, ...]] = ("classes",)

    @property
    def name(self) -> str:
        """Return top_<k>."""
        return f"top_{self.k}"

    @property
    def told(self) -> str:
        """What it is, with its k."""
        return self.meaning.replace("the k classes", f"the {self.k} classes")

    def measure(self, output: Tensor, y: Tensor) -> Measured:
        """Return how many labels are among the k best, and how many there are."""
        import torch

        own = output.gather(1, y[:, None])
        earlier = torch.arange(output.shape[1], device=y.device) < y[:, None]
        better = ((output > own) | ((output == own) & earlier)).sum(1)
        return floats((better < self.k).sum(), len(y))

    def value(self, whole: Measured) -> float:
        """Return found / all."""
        found, count = whole
        return float(found / count)
