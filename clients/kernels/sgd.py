"""One step of SGD, in place, with the arithmetic of torch.optim.SGD and FedProx's pull towards the start."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedsim.core import LocalWork


@dataclass(frozen=True)
class Sgd:
    """The step of one round: g <- grad + weight_decay w + mu (w - w0); v <- momentum v + g; w <- w - lr v."""

    lr: float
    momentum: float
    weight_decay: float
    proximal_mu: float

    @classmethod
    def of(cls, work: LocalWork, round: int, pull: float = 0.0) -> Sgd:
        """Return the step that the local work takes in a round; `pull` is added to mu."""
        return cls(work.rate(round), work.momentum, work.weight_decay, work.proximal_mu + pull)

    @property
    def plain(self) -> bool:
        """Return whether the step is w <- w - lr grad and nothing else."""
        return not (self.momentum or self.weight_decay or self.proximal_mu)

    def apply(self, weight: Tensor, gradient: Tensor, start: Tensor, velocity: Tensor | None) -> None:
        """Move `weight` and `velocity` by one step; `gradient` is used up. `start` is w0, where the round began."""
        if self.weight_decay:
            gradient.add_(weight, alpha=self.weight_decay)
        if self.proximal_mu:
            gradient.add_(torch.sub(weight, start), alpha=self.proximal_mu)
        if velocity is not None:
            gradient = velocity.mul_(self.momentum).add_(gradient)
        weight.add_(gradient, alpha=-self.lr)
