"""Memories of gradients under a changing learning rate: made at rate lr_i, h_i is used at rate lr_t as h_i lr_t/lr_i.

A local step moves by lr times a gradient, so that delta_i / lr_i is what client i said of its gradients (summed over
its K_i steps), whatever the rate was. MIFA's Algorithm 1 and FedVARP's Algorithm 2 remember that. Here the raw delta is
remembered, and multiplied when it is used: at a constant rate by exactly 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fedsim.core.contracts import Ids, Vector

Rates = Callable[[int], float]
"""The learning rate of a round (1-based)."""


def ratio(now: float, before: float) -> float:
    """Return what a delta made at rate `before` is multiplied by at rate `now`; a rate of 0 says nothing of gradients.

    >>> ratio(0.05, 0.1), ratio(0.1, 0.1), ratio(0.0, 0.0), ratio(0.1, 0.0)
    (0.5, 1.0, 1.0, 0.0)
    """
    if now == before:
        return 1.0
    return now / before if before else 0.0


def factors(rates: Rates, written: Ids, round: int) -> Vector:
    """Return lr_t/lr_i of memories by the rounds in which they were written (0: never, factor 1).

    >>> factors(lambda round: 0.5**round, np.array([3, 0, 1, 2]), 3).tolist()
    [1.0, 1.0, 0.25, 0.5]
    """
    rounds, places = np.unique(written, return_inverse=True)
    each = [ratio(rates(round), rates(made)) if made else 1.0 for made in rounds.tolist()]
    return np.array(each, np.float64)[places]
