r"""Heavy-ball momentum on the server (FedAvgM).

Hsu, Qi & Brown, "Measuring the effects of non-identical data distribution for federated visual classification", 2019,
arXiv 1909.06335. With v the rule's update:

    m <- momentum m + v,      T(v) = m

State: m, float64, (d,). A round in which the rule moves nothing leaves m, and the model, where they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Lt

from fedsim.core.server.transform import Moments, Parameters, Server, Transform, Vector


@dataclass(frozen=True, kw_only=True)
class Momentum(Transform):
    """Heavy-ball momentum: m <- momentum * m + v, update m (FedAvgM).

    >>> transform, server = Momentum(momentum=0.5), Server(1, np.zeros(1, np.float32))
    >>> state, update = transform.apply(transform.init(server.params), np.array([4.0]), server)
    >>> transform.apply(state, np.array([0.0]), server)[1].tolist()
    [2.0]
    """

    kind: Literal["momentum"] = "momentum"
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    """What is kept of the sum of earlier updates."""

    def init(self, params: Parameters) -> Moments:
        """Start without momentum."""
        return Moments(np.zeros(len(params)), np.zeros(0))

    def apply(self, state: Moments, update: Vector, server: Server) -> tuple[Moments, Vector]:
        """Add the update to what is kept, and move by that."""
        first = self.momentum * state.first + update
        return Moments(first, state.second), first
