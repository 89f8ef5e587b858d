r"""MimeLite: clients step with the server's momentum, which they hold fixed and do not disturb.

Karimireddy et al., "Breaking the centralized barrier for cross-device federated learning" (Mime), NeurIPS 2021, arXiv
2008.03606, Algorithm 1, MimeLite with SGD and momentum. With beta = `beta`:

    every local step   w <- w - lr ((1 - beta) gradient + beta m)
    on the server      m <- (1 - beta) (mean over S of the gradient of f_i at x, by the weights a_i) + beta m

The gradient of f_i at the model x that went down is over all of a client's examples: one more pass over them, and a
second vector that comes up. The step is taken as rate (1 - beta) lr with beta / (1 - beta) m added to the gradient. The
model moves as the rule above it says; the paper's is fedavg with `normalise: participants`. State: m, float64, O(d);
clients keep nothing. Empty cohort: m stays. Departures from the paper: m goes down rounded to float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Lt

from fedsim.core.client_half import Before, Given, Order, Rows, Trained
from fedsim.core.contracts import Cohort, Parameters, Population
from fedsim.core.correction import Correction
from fedsim.core.sums import LinearSum, Sums, Vector


@dataclass(frozen=True)
class Momentum:
    """m, (d,)."""

    mean: Vector
    population: Population


@dataclass(frozen=True, kw_only=True)
class MimeLite(Correction):
    """Step with the server's momentum, held fixed (Karimireddy et al. 2021).

    >>> rule = MimeLite(beta=0.5)
    >>> state = rule.start(np.zeros(1, np.float32), Population(np.ones(2, np.int64), np.array([0.5, 0.5])))
    >>> rule.step(state, Cohort(1, np.array([0])), {"gradient": np.array([4.0])}, None)[0].mean.tolist()
    [4.0]
    """

    gradients: ClassVar[bool] = True

    off: ClassVar[str] = "beta"
    name: Literal["mime-lite"] = "mime-lite"
    beta: Annotated[float, Ge(0), Lt(1)] = 0.9
    """Share of the momentum in every step; 0 is the rule alone."""

    def begin(self, lane: Before) -> Given:
        """Add beta / (1 - beta) m to every gradient."""
        shift = self.beta / (1.0 - self.beta) * lane.shared["m"]
        return Given(shift=np.broadcast_to(shift, (len(lane.seen), len(shift))))

    def remember(self, lane: Before, trained: Trained) -> Mapping[str, Rows]:
        """Send the gradient at x."""
        assert lane.gradient is not None, "the half asks for gradients"
        return {"gradient": lane.gradient}

    def start(self, params: Parameters, population: Population) -> Momentum:
        """Start with m = 0."""
        return Momentum(np.zeros(len(params)), population)

    def order(self, state: Momentum, cohort: Cohort) -> Order:
        """Send m, and have rates multiplied by 1 - beta."""
        return Order(shared={"m": state.mean}, rate=1.0 - self.beta)

    def ask(self, state: Momentum, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for sum a_i times the gradient of f_i at x."""
        return {"gradient": LinearSum(state.population.weights[cohort.clients], of="gradient")}

    def step(
        self, state: Momentum, cohort: Cohort, sums: Sums, update: Vector | None
    ) -> tuple[Momentum, Vector | None]:
        """Let m take in the mean gradient; the update stays."""
        if len(cohort) == 0:
            return state, update
        mean = sums["gradient"] / state.population.weights[cohort.clients].sum()
        return replace(state, mean=(1.0 - self.beta) * mean + self.beta * state.mean), update
