"""How often does a client come? The participation-interval estimate of 1/p_i, O(1) per client.

Wang & Ji, "A lightweight method for tackling unknown participation statistics in federated averaging", ICLR 2024,
arXiv 2306.03401, Algorithm 2. Per client: closed intervals M, open length s, weight w (the mean closed interval,
an estimate of 1/p_i that starts at 1). Round t, in this order: *use* w; s += 1; if the client took part or s = K:
w <- s if M = 0 else (M w + s)/(M + 1); M += 1; s <- 0. So the initial 1 is replaced, not averaged in, and the first
interval counts from the first round inclusive. Absent clients and empty rounds advance too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedsim.core.contracts import CUTOFF, WEIGHT, Cohort, Diagnostics, Ids, Vector


@dataclass(frozen=True)
class Intervals:
    """The estimator of all clients: closed intervals M, open lengths s, weights w, each (N,)."""

    closed: npt.NDArray[np.int64]
    open: npt.NDArray[np.int64]
    weight: Vector


def start(num_clients: int) -> Intervals:
    """Return the estimator before round 1."""
    return Intervals(np.zeros(num_clients, np.int64), np.zeros(num_clients, np.int64), np.ones(num_clients))


def advance(intervals: Intervals, clients: Ids, cutoff: int | None) -> Intervals:
    """Return the estimator after a round in which `clients` took part; `cutoff` is K, None for no cutoff.

    >>> state = start(1)
    >>> for took_part in (0, 1, 0, 0):
    ...     state = advance(state, np.flatnonzero([took_part]), cutoff=3)
    >>> state.weight.tolist(), state.open.tolist()
    ([2.0], [2])
    """
    length = intervals.open + 1
    closes = np.zeros(len(length), bool)
    closes[clients] = True
    if cutoff is not None:
        closes |= length == cutoff
    done = intervals.closed
    weight = np.where(closes, (done * intervals.weight + length) / (done + 1), intervals.weight)
    return Intervals(done + closes, np.where(closes, 0, length), weight)


def diagnostics(used: Intervals, cohort: Cohort, cutoff: int | None) -> Diagnostics:
    """Tell the weights that a round uses, and whose open interval it closes without the client having come."""
    if cutoff is None:
        return Diagnostics({}, {WEIGHT: used.weight, CUTOFF: np.zeros(len(used.open), bool)})
    capped = used.open + 1 == cutoff
    capped[cohort.clients] = False
    return Diagnostics({"num_cutoffs": float(np.count_nonzero(capped))}, {WEIGHT: used.weight, CUTOFF: capped})
