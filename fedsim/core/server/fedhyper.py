r"""FedHyper: the server's rate follows whether updates agree with those before.

Wang et al., "FedHyper: a universal and robust learning rate scheduler for federated learning with hypergradient
descent", ICLR 2024, arXiv 2310.03156 (FedHyper-G), with D_t the rule's update of round t and g = `bound`:

    a <- clip(a + <D_t, D_{t-1}>, 1/g, g),      T(D_t) = a D_t

a starts at 1, and the first update has no inner product. D is the rule's update before it is multiplied by a. bound = 1
is no transform.

State: a, and D_{t-1}, float64, (d,). A round in which the rule moves nothing is passed over: the next inner product is
with the last update there was. Departures from the paper: `server_lr` multiplies what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core.server.transform import Parameters, Server, Transform, Vector


@dataclass(frozen=True)
class HyperState:
    """The rate a, and the update (d,) before this one; zeros before the first, so that a stays 1."""

    rate: float
    last: Vector


@dataclass(frozen=True, kw_only=True)
class FedHyper(Transform):
    """A rate that grows while updates agree with those before, and shrinks when they turn (Wang et al. 2024).

    >>> transform, server = FedHyper(bound=3.0), Server(1, np.zeros(1, np.float32))
    >>> state, update = transform.apply(transform.init(server.params), np.array([2.0]), server)
    >>> update.tolist(), transform.apply(state, np.array([0.5]), server)[1].tolist()
    ([2.0], [1.0])
    """

    kind: Literal["fedhyper"] = "fedhyper"
    bound: Annotated[float, Ge(1)] = 3.0
    """The rate stays between 1/bound and bound; 1 changes nothing."""

    def init(self, params: Parameters) -> HyperState:
        """Start at rate 1."""
        return HyperState(1.0, np.zeros(len(params)))

    def apply(self, state: HyperState, update: Vector, server: Server) -> tuple[HyperState, Vector]:
        """Move the rate by the inner product with the update before, then multiply."""
        agreement = np.sum(update * state.last)  # not @, whose bits depend on the number of threads
        rate = float(np.clip(state.rate + agreement, 1 / self.bound, self.bound))
        return HyperState(rate, update), rate * update
