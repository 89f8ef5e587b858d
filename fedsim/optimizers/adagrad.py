"""The optimiser `adagrad`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fedsim.optimizers.config import Optimizer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Adagrad(Optimizer):
    """torch.optim.Adagrad: v <- v + g^2; w <- w - lr g / (sqrt(v) + eps).

    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 2011,
    the diagonal form of section 1.1. One vector is kept, v.
    """

    name: Literal["adagrad"] = "adagrad"
    eps: float = 1e-10

    @property
    def slots(self) -> int:
        """One: the sum of squares."""
        return 1

    def step(
        self, weight: Tensor, gradient: Tensor, slots: tuple[Tensor, ...], rate: float, count: float | Tensor
    ) -> None:
        """Take one step; see `Optimizer.step`."""
        squares = slots[0].addcmul_(gradient, gradient, value=1)
        weight.addcdiv_(gradient, squares.sqrt().add_(self.eps), value=-rate)
