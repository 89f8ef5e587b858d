"""The optimiser `adam`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fedsim.optimizers.config import Optimizer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """torch.optim.Adam: in step t, m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2;
    w <- w - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).

    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, Algorithm 1. Two vectors are kept, m and v.
    """  # noqa: D205

    name: Literal["adam"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    counts: ClassVar[bool] = True

    @property
    def slots(self) -> int:
        """Two: the first and the second moment."""
        return 2

    def step(
        self, weight: Tensor, gradient: Tensor, slots: tuple[Tensor, ...], rate: float, count: float | Tensor
    ) -> None:
        """Take one step; see `Optimizer.step`."""
        (first, second), (beta1, beta2) = slots, self.betas
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        if isinstance(count, int | float):
            below = (second.sqrt() / (1 - beta2**count) ** 0.5).add_(self.eps)
            weight.addcdiv_(first, below, value=-(rate / (1 - beta1**count)))
        else:
            root, size = (1 - beta2**count) ** 0.5, rate / (1 - beta1**count)
            below = second.sqrt().div_(root.to(weight.dtype)).add_(self.eps)
            weight.sub_(first.mul(size.to(weight.dtype)).div_(below))
