"""The optimiser `sgd`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fedsim.optimizers.config import Optimizer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Sgd(Optimizer):
    """torch.optim.SGD: v <- momentum v + g; w <- w - lr v; with nesterov w <- w - lr (g + momentum v).

    Heavy ball: Polyak 1964; Nesterov's form: Sutskever et al., ICML 2013. Without momentum nothing is kept.
    """

    name: Literal["sgd"] = "sgd"
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def slots(self) -> int:
        """One, the velocity v; none without momentum."""
        return 1 if self.momentum else 0

    def step(
        self, weight: Tensor, gradient: Tensor, slots: tuple[Tensor, ...], rate: float, count: float | Tensor
    ) -> None:
        """Take one step; see `Optimizer.step`."""
        if slots:
            velocity = slots[0].mul_(self.momentum).add_(gradient)
            gradient = gradient.add(velocity, alpha=self.momentum) if self.nesterov else velocity
        weight.add_(gradient, alpha=-rate)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when there is nothing that Nesterov's form could change."""
        if self.nesterov and not self.momentum:
            yield "nesterov", "needs momentum, which is 0; write momentum: 0.9, or leave nesterov out"
