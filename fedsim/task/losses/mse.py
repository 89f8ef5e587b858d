"""Squared error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fedsim.task.losses.numbers import Entrywise

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Mse(Entrywise):
    """Squared error (output - y)^2, for numbers; an example's loss is the mean over the numbers of its target."""

    kind: Literal["mse"] = "mse"
    stacked: ClassVar[bool] = True

    def entries(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the square of each difference."""
        return (output - y).square()

    def scores(self, output: Tensor) -> Tensor:
        """Return the output: that of a normal distribution of variance 1 around it."""
        return output

    def errors(self, logits: Tensor, bias: Tensor, y: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Return losses (A,) and E = scale 2 (Z - y) / K, (A, B, K)."""
        away = (logits + bias.unsqueeze(1)).sub_(y.reshape(logits.shape))
        losses = away.square().mean(2).mul_(scale).sum(1)
        return losses, away.mul_(2.0 / logits.shape[2]).mul_(scale.unsqueeze(2))
