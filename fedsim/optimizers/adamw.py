"""The optimiser `adamw`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fedsim.optimizers.adam import Adam
from fedsim.optimizers.config import Optimizer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
    """torch.optim.AdamW: w <- (1 - lr weight_decay) w, then a step of Adam on the gradient without decay.

    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, Algorithm 2. `weight_decay` is 0 unless
    it is given (0.01 in torch).
    """

    name: Literal["adamw"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decoupled: ClassVar[bool] = True
    counts: ClassVar[bool] = True

    @property
    def slots(self) -> int:
        """Two: the first and the second moment."""
        return 2

    def step(
        self, weight: Tensor, gradient: Tensor, slots: tuple[Tensor, ...], rate: float, count: float | Tensor
    ) -> None:
        """Take one step; see `Optimizer.step`."""
        if self.weight_decay:
            weight.mul_(1 - rate * self.weight_decay)
        Adam(betas=self.betas, eps=self.eps).step(weight, gradient, slots, rate, count)
