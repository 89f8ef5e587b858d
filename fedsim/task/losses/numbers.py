"""What losses of numbers have in common: an output for each number of a target."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

from fedsim.core import Targets
from fedsim.task.loss import Answer, Loss

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Entrywise(Loss):
    """A loss that compares outputs and targets number by number; an example's is the mean over its numbers."""

    answers: ClassVar[Answer] = "numbers"
    usual: ClassVar[tuple[str, ...]] = ("mse", "mae", "r2")

    @abstractmethod
    def entries(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each number, for outputs and targets of one shape and type."""

    def of(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each example (B,) from outputs and targets that hold as many numbers."""
        return self.entries(*self.read(output, y)).reshape(len(y), -1).mean(1)

    def outputs(self, targets: Targets) -> int:
        """Return how many numbers a target has."""
        return targets.size

    def refusal(self, targets: Targets) -> str | None:
        """Numbers are wanted; labels 0..C-1 are numbers too."""
        return None

    def read(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs in the targets' shape, and targets in the outputs' type."""
        if prod(output.shape) != prod(y.shape):
            raise ValueError(
                f"{self.kind} compares number by number, but outputs have shape {tuple(output.shape)} and targets "
                f"{tuple(y.shape)}"
            )
        return output.reshape(y.shape), y.to(output.dtype)
