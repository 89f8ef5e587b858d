r"""FedAdam: steps divided by the root of a running mean of squares.

Reddi et al., "Adaptive federated optimization", ICLR 2021, arXiv 2003.00295, Algorithm 2 (FedAdam), with the rule's
update v in the role of Delta_t:

    m <- beta1 m + (1 - beta1) v,   u <- beta2 u + (1 - beta2) v^2,      T(v) = m / (sqrt(u) + tau)

State: m and u, float64, (d,) each. No bias correction, as in the paper. Departures: u starts at 0 (`initial`), where
the paper asks for at least tau^2; a round in which the rule moves nothing is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core.config.plain import LATER
from fedsim.core.server.transform import Moments, Parameters, Server, Transform, Vector


@dataclass(frozen=True, kw_only=True)
class Adam(Transform):
    """FedAdam: m <- b1 m + (1-b1) v, u <- b2 u + (1-b2) v^2, update m / (sqrt(u) + tau); no bias correction.

    >>> transform, server = Adam(beta1=0.0, beta2=0.0, tau=1.0), Server(1, np.zeros(1, np.float32))
    >>> transform.apply(transform.init(server.params), np.array([3.0]), server)[1].tolist()
    [0.75]
    """

    kind: Literal["adam"] = "adam"
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    """What is kept of the running mean of updates."""
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.99
    """What is kept of the running mean of their squares."""
    tau: Annotated[float, Gt(0)] = 1e-3
    """Added to the root; a small one adapts more."""
    initial: Annotated[float, Ge(0)] = field(default=0.0, metadata=LATER)
    """Every entry of the mean of squares before round 1."""

    def init(self, params: Parameters) -> Moments:
        """Start without updates."""
        return Moments(np.zeros(len(params)), np.full(len(params), self.initial))

    def apply(self, state: Moments, update: Vector, server: Server) -> tuple[Moments, Vector]:
        """Divide the mean update by the root of the mean square."""
        first = self.beta1 * state.first + (1 - self.beta1) * update
        second = self.beta2 * state.second + (1 - self.beta2) * update**2
        return Moments(first, second), first / (np.sqrt(second) + self.tau)
