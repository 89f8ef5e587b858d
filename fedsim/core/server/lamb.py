r"""LAMB: Adam's direction, in each tensor as long as the tensor itself.

You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020, arXiv 1904.00962,
Algorithm 2 with phi(z) = z, with the rule's update v in the role of the negative gradient, x the parameters and k the
updates so far; the last line for each tensor of the model by itself:

    m <- beta1 m + (1 - beta1) v,   u <- beta2 u + (1 - beta2) v^2
    r = [m / (1 - beta1^k)] / (sqrt(u / (1 - beta2^k)) + eps) - weight_decay x
    T(v) = (||x|| / ||r||) r,      r itself where ||x|| or ||r|| is 0

State: m and u, float64, (d,) each, and k. A round in which the rule moves nothing is passed over, and not counted in
k. Departures from the paper: it does not say what a tensor of zeros does, such as a bias at its start; here it takes
the step r, as the implementations do.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core.server.transform import Counted, Moments, Parameters, Server, Transform, Vector


@dataclass(frozen=True, kw_only=True)
class Lamb(Transform):
    """Adam's direction, bias corrected, in each tensor as long as the tensor itself (You et al. 2020).

    >>> transform, server = Lamb(beta1=0.0, beta2=0.0, eps=1.0), Server(1, np.array([3.0, 4.0], np.float32))
    >>> transform.apply(transform.init(server.params), np.array([1.0, 0.0]), server)[1].tolist()
    [5.0, 0.0]
    """

    kind: Literal["lamb"] = "lamb"
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    """What is kept of the running mean of updates."""
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    """What is kept of the running mean of their squares."""
    eps: Annotated[float, Gt(0)] = 1e-6
    """Added to the root."""
    weight_decay: Annotated[float, Ge(0)] = 0.0
    """Share of the parameters taken off the direction, before its length is set."""

    def init(self, params: Parameters) -> Counted:
        """Start without updates."""
        return Counted(Moments(np.zeros(len(params)), np.zeros(len(params))), 0)

    def apply(self, state: Counted, update: Vector, server: Server) -> tuple[Counted, Vector]:
        """Make each tensor's part of Adam's direction as long as the tensor."""
        count = state.count + 1
        first = self.beta1 * state.moments.first + (1 - self.beta1) * update
        second = self.beta2 * state.moments.second + (1 - self.beta2) * update**2
        mean, square = first / (1 - self.beta1**count), second / (1 - self.beta2**count)
        x = server.params.astype(np.float64)
        step = mean / (np.sqrt(square) + self.eps) - self.weight_decay * x
        bounds = (0, len(x)) if server.layout is None else server.layout.offsets
        for start, end in pairwise(bounds):
            long, length = (np.sqrt(np.sum(vector[start:end] ** 2)) for vector in (x, step))
            if long > 0 and length > 0:
                step[start:end] *= long / length
        return Counted(Moments(first, second), count), step
