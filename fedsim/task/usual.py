"""What is learnt where a scenario does not say: by the kind of the targets."""

from __future__ import annotations

from fedsim.core import Targets
from fedsim.task import losses
from fedsim.task.loss import Loss


def usual_loss(targets: Targets) -> Loss:
    """Return the loss of targets that nobody chose one for.

    >>> usual_loss(Targets((), 10)).kind, usual_loss(Targets((), 0)).kind
    ('cross_entropy', 'mse')
    >>> usual_loss(Targets((80,), 64)).kind, usual_loss(Targets((5,), 2)).kind
    ('token_cross_entropy', 'bce')
    """
    if targets.numbers:
        kind = "mse"
    elif not targets.shape:
        kind = "cross_entropy"
    else:
        kind = "bce" if targets.classes <= 2 else "token_cross_entropy"
    loss: Loss = losses.catalogue()[kind]()
    return loss
