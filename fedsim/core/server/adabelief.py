r"""AdaBelief: steps divided by how far updates stray from their own running mean.

Zhuang et al., "AdaBelief optimizer: adapting stepsizes by the belief in observed gradients", NeurIPS 2020, arXiv
2010.07468, Algorithm 2, with the rule's update v in the role of the negative gradient and k the updates so far:

    m <- beta1 m + (1 - beta1) v,   s <- beta2 s + (1 - beta2) (v - m)^2 + eps
    T(v) = [m / (1 - beta1^k)] / (sqrt(s / (1 - beta2^k)) + eps)

State: m and s, float64, (d,) each, and k. A round in which the rule moves nothing is passed over, and not counted in
k. Departures from the paper: none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core.server.transform import Counted, Moments, Parameters, Server, Transform, Vector


@dataclass(frozen=True, kw_only=True)
class AdaBelief(Transform):
    """Divide the mean update by how far updates stray from it (Zhuang et al. 2020), bias corrected.

    >>> transform, server = AdaBelief(beta1=0.5, beta2=0.0, eps=1.0), Server(1, np.zeros(1, np.float32))
    >>> transform.apply(transform.init(server.params), np.array([2.0]), server)[1].round(6).tolist()
    [0.828427]
    """

    kind: Literal["adabelief"] = "adabelief"
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    """What is kept of the running mean of updates."""
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    """What is kept of the running mean of squared distances from it."""
    eps: Annotated[float, Gt(0)] = 1e-8
    """Added to the mean of squares in every round, and to its root."""

    def init(self, params: Parameters) -> Counted:
        """Start without updates."""
        return Counted(Moments(np.zeros(len(params)), np.zeros(len(params))), 0)

    def apply(self, state: Counted, update: Vector, server: Server) -> tuple[Counted, Vector]:
        """Divide the corrected mean update by the corrected root."""
        count = state.count + 1
        first = self.beta1 * state.moments.first + (1 - self.beta1) * update
        second = self.beta2 * state.moments.second + (1 - self.beta2) * (update - first) ** 2 + self.eps
        mean, square = first / (1 - self.beta1**count), second / (1 - self.beta2**count)
        return Counted(Moments(first, second), count), mean / (np.sqrt(square) + self.eps)
