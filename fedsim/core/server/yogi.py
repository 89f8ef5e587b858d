r"""FedYogi: as FedAdam, but the mean of squares changes by at most (1 - beta2) v^2, whatever it was.

Reddi et al., "Adaptive federated optimization", ICLR 2021, arXiv 2003.00295, Algorithm 2 (FedYogi), after Zaheer et
al., "Adaptive methods for nonconvex optimization", NeurIPS 2018; with the rule's update v in the role of Delta_t:

    m <- beta1 m + (1 - beta1) v,   u <- u - (1 - beta2) v^2 sign(u - v^2),      T(v) = m / (sqrt(u) + tau)

State: m and u, float64, (d,) each. Departures: u starts at 0 (`initial`), where the paper asks for at least tau^2; a
round in which the rule moves nothing is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core.server.transform import Moments, Parameters, Server, Transform, Vector


@dataclass(frozen=True, kw_only=True)
class Yogi(Transform):
    """FedYogi: m <- b1 m + (1-b1) v, u <- u - (1-b2) v^2 sign(u - v^2), update m / (sqrt(u) + tau).

    >>> transform, server = Yogi(beta1=0.0, beta2=0.0, tau=1.0), Server(1, np.zeros(1, np.float32))
    >>> state, update = transform.apply(transform.init(server.params), np.array([3.0]), server)
    >>> update.tolist(), transform.apply(state, np.array([1.0]), server)[0].second.tolist()
    ([0.75], [8.0])
    """

    kind: Literal["yogi"] = "yogi"
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    """What is kept of the running mean of updates."""
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.99
    """How little a square moves the mean of squares."""
    tau: Annotated[float, Gt(0)] = 1e-3
    """Added to the root; a small one adapts more."""
    initial: Annotated[float, Ge(0)] = 0.0
    """Every entry of the mean of squares before round 1."""

    def init(self, params: Parameters) -> Moments:
        """Start without updates."""
        return Moments(np.zeros(len(params)), np.full(len(params), self.initial))

    def apply(self, state: Moments, update: Vector, server: Server) -> tuple[Moments, Vector]:
        """Divide the mean update by the root of the mean square."""
        first = self.beta1 * state.first + (1 - self.beta1) * update
        square = update**2
        second = state.second - (1 - self.beta2) * square * np.sign(state.second - square)
        return Moments(first, second), first / (np.sqrt(second) + self.tau)
