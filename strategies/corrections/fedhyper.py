r"""FedHyper-SL: the server sets the rate that clients start their next round with.

Wang et al., "FedHyper: a universal and robust learning rate scheduler for federated learning with hypergradient
descent", ICLR 2024, arXiv 2310.03156. With D_t the rule's update of round t and g = `bound`, in round t every client's
learning rate is b_t times that of `client`, where

    b_t = clip(b_{t-1} + <D_{t-1}, D_{t-2}>, 1/g, g),      b_1 = b_2 = 1

The recurrence was reconstructed and is held to a numeric test; it was not read off the paper's equations. The inner
product is not normalised. It is a factor, so that `client.schedule` goes on beside it. The paper's FedHyper-G, a
rate of the server, is `server_optimizer: {kind: fedhyper}`; both may stand together, D is the update before it.

State: b and D_{t-1}, float64, (d,). Clients keep nothing, and one number goes down. Empty cohort, or an update that
moves nothing: b stays, and the next inner product is with the last update there was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core.client_half import Order
from fedsim.core.contracts import Cohort, Parameters, Population
from fedsim.core.correction import Correction, Setting
from fedsim.core.sums import Sums, Vector


@dataclass(frozen=True)
class StartingRate:
    """The factor b, and the update (d,) before; zeros before the first, so that b stays 1."""

    rate: float
    last: Vector


@dataclass(frozen=True, kw_only=True)
class FedHyperSL(Correction):
    """Clients start at a rate that grows while updates agree, and shrinks when they turn (Wang et al. 2024).

    >>> rule, nobody = FedHyperSL(bound=3.0), Population(np.ones(1, np.int64), np.ones(1))
    >>> state, cohort = rule.start(np.zeros(1, np.float32), nobody), Cohort(1, np.array([0]))
    >>> state, _ = rule.step(state, cohort, {}, np.array([2.0]))
    >>> state, update = rule.step(state, cohort, {}, np.array([0.5]))
    >>> rule.order(state, cohort).rate, update.tolist()
    (2.0, [0.5])
    """

    name: Literal["fedhyper"] = "fedhyper"
    bound: Annotated[float, Ge(1)] = 3.0
    """The factor stays between 1/bound and bound; 1 changes nothing."""

    def problems_in(self, setting: Setting) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with memories that would have to know the factor."""
        if setting.rule.remembers and (setting.memory.of or setting.rule.memory_of) == "gradient":
            text = (
                "memories of gradients follow client.schedule alone, and fedhyper moves the rate beside it; give update"
            )
            yield "memory.of", text

    def start(self, params: Parameters, population: Population) -> StartingRate:
        """Start at factor 1."""
        return StartingRate(1.0, np.zeros(len(params)))

    def order(self, state: StartingRate, cohort: Cohort) -> Order:
        """Have rates multiplied by b."""
        return Order(rate=state.rate)

    def step(
        self, state: StartingRate, cohort: Cohort, sums: Sums, update: Vector | None
    ) -> tuple[StartingRate, Vector | None]:
        """Move b by the inner product with the update before; the update stays."""
        if len(cohort) == 0 or update is None:
            return state, update
        agreement = np.sum(update * state.last)  # not @, whose bits depend on the number of threads
        rate = float(np.clip(state.rate + agreement, 1 / self.bound, self.bound))
        return StartingRate(rate, update), update
