"""What every entry under `task: {loss: ...}` is: a frozen config that maps outputs and targets to losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fedsim.core import Targets

if TYPE_CHECKING:
    from torch import Tensor


Answer = Literal["classes", "yes or no", "numbers", "any"]
"""What a model's outputs stand for: scores of classes, logits of yes or no, numbers; any, where nobody knows."""


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """A loss. Concrete classes carry `kind: Literal["..."]`, the word in the scenario.

    Only `of` is needed. A file of a loss loads torch where it computes, so that reading a scenario does not.
    """

    kind: str
    """The word that chooses this loss."""

    answers: ClassVar[Answer]
    """What outputs stand for under this loss, and so which metrics have a meaning."""
    usual: ClassVar[tuple[str, ...]] = ()
    """The metrics, by their words, of a scenario that names none."""
    brought: ClassVar[bool] = False
    """Whether it is somebody's own."""
    stacked: ClassVar[bool] = False
    """Whether it has `errors`, and so trains stacks of linear layers by batched products."""

    @abstractmethod
    def of(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each example (B,), from what the model says (B, ...) and the targets (B, ...)."""

    @abstractmethod
    def outputs(self, targets: Targets) -> int:
        """Return how many outputs a model needs for such targets."""

    @abstractmethod
    def refusal(self, targets: Targets) -> str | None:
        """Return why such targets are none for this loss; None when they are."""

    def read(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs and targets as metrics read them, entry by entry.

        Either scores (n, C) and classes (n,), or for numbers and for yes or no outputs and targets of one shape.
        """
        return (output.reshape(y.shape), y) if output.numel() == y.numel() else (output, y)

    def mean(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of a batch, ()."""
        return self.of(output, y).mean()

    def weighted(self, output: Tensor, y: Tensor, scale: Tensor) -> Tensor:
        """Return the sum of the examples' losses, each times its scale (B,): () inside torch.func."""
        return (self.of(output, y) * scale).sum()

    @property
    def informs(self) -> bool:
        """Whether it has `scores`."""
        return type(self).scores is not Loss.scores

    def scores(self, output: Tensor) -> Tensor | None:
        """Return numbers whose squared derivatives add up to E_{y ~ p} (grad log p)^2, p being what the output says.

        None where the loss is not the -log p of something whose expectation is a few numbers.
        """
        return None

    def errors(self, logits: Tensor, bias: Tensor, y: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted losses (A,) of A clients and their derivative E (A, B, K) after the outputs.

        `logits` (A, B, K) are the outputs without their `bias` (A, K); `y` is (A, B, ...), `scale` (A, B) or (1, B).
        """
        raise NotImplementedError(f"{self.kind} has no derivative written by hand")
