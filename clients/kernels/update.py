"""What a gradient does: clipped, with FedProx's pull and weight decay, into the optimiser, in place.

For one client in one local step, with g the gradient of the batch's mean loss and w0 where its round began:

    without clip_norm   g <- g + weight_decay w + proximal_mu (w - w0)
    with clip_norm      g <- g + proximal_mu (w - w0);  g <- g min(1, clip_norm / (|g| + 1e-6));
                        g <- g + weight_decay w
    and then            w, slots <- optimizer(w, slots, g, rate)

|g| is the norm over all of the client's parameters, as in torch.nn.utils.clip_grad_norm_, which looks at the gradient
of the whole objective (FedProx's penalty is part of it) and is called before the optimiser, where weight decay is.
adamw's weight decay never enters g.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fedsim.core import LocalWork
from fedsim.core.client_half import PLAIN, Given
from fedsim.optimizers import Optimizer, chosen
from fedsim.optimizers.sgd import Sgd


@dataclass(frozen=True)
class Update:
    """One local step of a round: everything that moves weights except the gradient itself.

    Attributes
    ----------
    number : the number of the step in its round, from 1.
    rate : its learning rate.
    heavy_ball : whether the step is v <- momentum v + g; w <- w - lr v, and the gradient is not clipped.
    plain : whether the step is w <- w - lr g and nothing else.
    alike : whether all steps of a round are the same but for the gradient.
    factor : what the rates of the round are multiplied by.
    """

    work: LocalWork
    optimizer: Optimizer
    round: int
    number: int
    rate: float
    heavy_ball: bool
    plain: bool
    alike: bool
    factor: float = 1.0

    @classmethod
    def of(cls, work: LocalWork) -> Update:
        """Return the first step of the first round."""
        optimizer = chosen(work)
        sgd = isinstance(optimizer, Sgd) and not optimizer.nesterov
        heavy_ball = sgd and work.clip_norm is None
        plain = heavy_ball and not (optimizer.slots or work.weight_decay or work.proximal_mu)
        alike = not (optimizer.counts or work.rate_by_step)
        return cls(work, optimizer, 1, 1, work.rate(1), heavy_ball, plain, alike)

    def begun(self, round: int, given: Given = PLAIN) -> Update:
        """Return the first step of a round, with another pull and another length where these are given."""
        begun = replace(self, round=round, number=1, rate=self.work.rate(round) * given.rate, factor=given.rate)
        if not given.pull:
            return begun
        return replace(begun, plain=False, work=replace(self.work, proximal_mu=self.work.proximal_mu + given.pull))

    def at(self, number: int) -> Update:
        """Return the step of another number of the same round."""
        if self.alike:
            return self
        return replace(self, number=number, rate=self.work.rate(self.round, number) * self.factor)
