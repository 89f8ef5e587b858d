r"""FedDyn: a linear term for each client and a pull towards the model make the clients' optima meet in the server's.

Acar et al., "Federated learning based on dynamic regularization", ICLR 2021, arXiv 2111.04263, Algorithm 1. With l_i
the gradient that client i remembers, x the model that it was given and a_i = `weights` (the paper's 1/N):

    every local step   gradient - l_i + alpha (w - x)
    then               l_i <- l_i - alpha delta_i
    on the server      h <- h - alpha sum_S a_i delta_i;     update <- update - h / alpha

With fedavg and `normalise: participants` this is the paper's x = mean_S(local) - h / alpha. State: h, float64, O(d);
the l_i, N x d, live with the clients' hosts. Empty cohort: x, h and l stay, whatever the rule does in empty rounds
(stepping by -h / alpha again and again diverges). Departures from the paper: the local objective is approached by the
steps of `client:`, not solved; weights a_i may follow examples; the rule may be another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core.client_half import Before, Given, Order, Rows, Trained
from fedsim.core.contracts import Cohort, Parameters, Population
from fedsim.core.correction import Correction
from fedsim.core.sums import LinearSum, Sums, Vector


@dataclass(frozen=True)
class Drift:
    """h = -alpha times the sum over all rounds of sum_S a_i delta_i, (d,)."""

    h: Vector
    population: Population


@dataclass(frozen=True, kw_only=True)
class FedDyn(Correction):
    """Make the clients' optima meet by a linear term and a pull each (Acar et al. 2021).

    >>> rule = FedDyn(alpha=2.0)
    >>> state = rule.start(np.zeros(1, np.float32), Population(np.ones(2, np.int64), np.array([0.5, 0.5])))
    >>> after, update = rule.step(state, Cohort(1, np.array([0])), {"moved": np.array([1.5])}, np.array([3.0]))
    >>> after.h.tolist(), update.tolist()
    ([-3.0], [4.5])
    """

    linear: ClassVar[bool] = False
    memories: ClassVar[tuple[str, ...]] = ("gradient",)

    off: ClassVar[str] = "alpha"
    name: Literal["feddyn"] = "feddyn"
    alpha: Annotated[float, Ge(0)] = 1.0
    """Strength of the pull towards the model, and of the linear term; 0 is the rule alone."""

    def exact(self) -> bool:
        """With any pull."""
        return self.alpha > 0.0

    def begin(self, lane: Before) -> Given:
        """Shift gradients by -l_i; the pull is in the order."""
        return Given(shift=-lane.own["gradient"])

    def remember(self, lane: Before, trained: Trained) -> Mapping[str, Rows]:
        """Keep l_i - alpha delta_i."""
        return {"gradient": lane.own["gradient"] - self.alpha * trained.delta}

    def start(self, params: Parameters, population: Population) -> Drift:
        """Start with h = 0."""
        return Drift(np.zeros(len(params)), population)

    def memory_means(self, state: Drift) -> dict[str, Vector]:
        """Return h, the mean of the remembered gradients."""
        return {"gradient": state.h}

    def order(self, state: Drift, cohort: Cohort) -> Order:
        """Pull with strength alpha."""
        return Order(pull=self.alpha)

    def ask(self, state: Drift, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for sum_S a_i delta_i."""
        return {"moved": LinearSum(state.population.weights[cohort.clients])}

    def step(self, state: Drift, cohort: Cohort, sums: Sums, update: Vector | None) -> tuple[Drift, Vector | None]:
        """Let h take in what the cohort moved, and step by -h / alpha beside the update."""
        if self.alpha == 0.0:
            return state, update
        if len(cohort) == 0:
            return state, None
        h = state.h - self.alpha * sums["moved"]
        return Drift(h, state.population), (0.0 if update is None else update) - h / self.alpha
