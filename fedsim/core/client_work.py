"""Local work that a user writes: what it is given, and what it gives back.

The contract is one method of a class that `client.work` names:

    train(module, batches, start, round, rng, state) -> Work

    module   the model, an `nn.Module` that holds the global parameters, in training mode
    batches  the client's batches of this round, (x, y) each, the same that SGD would have; `len(batches)` of them,
             `batches.lr` the learning rate of the round, `batches.num_examples` what the client holds
    start    the global parameters, (d,) float32, not to be written to
    round    from 1
    rng      a numpy generator of its own for every (seed, round, client)
    state    what the client's last `Work` left as its state; None before the first
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Work:
    """What a client's local work came to.

    Attributes
    ----------
    delta : local minus global parameters, as a vector (d,), or by name; or the trained module itself.
    metrics : numbers by name; their means over the clients of a round are metrics of the run, `client.<name>`. One that
        is called `loss` or `train_loss` is also the run's `train_loss`.
    state : what this client is given the next time it takes part: numbers, text, arrays and tensors, in lists, tuples
        and mappings. It stays where the client lives, and is part of checkpoints.
    """

    delta: Any
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: Any = None
