r"""Fisher-weighted averaging: each coordinate of a client's model counts by how sure the client is of it.

Matena & Raffel, "Merging models with Fisher-weighted averaging", NeurIPS 2022, arXiv 2111.09832, eq. 4 with diagonal
Fisher information, coordinate by coordinate, theta_i = x + delta_i being what a client's training came to:

    theta_j = sum_S a_i F_ij theta_ij / sum_S a_i F_ij,    F_i = mean over x of E_{y ~ p(.|x, theta_i)} (grad log p)^2

so that with v = theta - x

    v_j = sum_S a_i F_ij delta_ij / sum_S a_i F_ij

over examples of the client one by one, with the label drawn from its *model*: exactly, as an expectation over all
classes. For numbers log p is that of a normal distribution around the output, whose width cancels. On quadratics F_i is
the curvature. Where sum_S a_i F_ij is 0 the coordinate is that of FedAvg, sum_S a_i delta_ij / sum_S a_i.

One round of long training is the paper's merge of models; more rounds go on from what was merged. Clients send F_i and
F_i delta_i beside delta_i: three times as much, and a pass over their examples for each class.

State: nothing. Empty cohort: nothing arrives, nothing moves. Departures from the paper: sums are of F delta, not of
F theta, which loses no digits to x (the vector is called `fisher x local` all the same); information below 1e-30, where
float32 ends, counts as none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedsim.core.client_half import Before, Rows, Trained
from fedsim.core.contracts import Cohort, LinearSum, Parameters, Population, Rule, Sums, Vector

LEAST = 1e-30


@dataclass(frozen=True, kw_only=True)
class Fisher(Rule):
    """Average models by their diagonal Fisher information (Matena & Raffel 2022).

    >>> rule, cohort = Fisher(), Cohort(1, np.array([0, 1]))
    >>> state = rule.start(np.zeros(2, np.float32), Population(np.ones(2, np.int64), np.array([0.5, 0.5])))
    >>> sums = {"update": [2.0, 2.0], "fisher": [2.0, 2.0], "moved": [5.0, 6.0]}
    >>> rule.step(state, cohort, {name: np.array(one) for name, one in sums.items()})[1].tolist()
    [2.5, 3.0]
    """

    linear: ClassVar[bool] = False
    informed: ClassVar[bool] = True

    name: Literal["fisher"] = "fisher"

    def remember(self, lane: Before, trained: Trained) -> Mapping[str, Rows]:
        """Send F and F delta."""
        assert trained.fisher is not None, "the half asks to be informed"
        fisher = np.where(trained.fisher < LEAST, 0.0, trained.fisher).astype(trained.fisher.dtype)
        return {"fisher": fisher, "fisher x local": fisher * trained.delta}

    def start(self, params: Parameters, population: Population) -> Population:
        """Return the population; nothing else is remembered."""
        return population

    def ask(self, state: Population, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for sum a_i delta_i, sum a_i F_i and sum a_i F_i delta_i."""
        weights = state.weights[cohort.clients]
        return {
            "update": LinearSum(weights),
            "fisher": LinearSum(weights, of="fisher"),
            "moved": LinearSum(weights, of="fisher x local"),
        }

    def step(self, state: Population, cohort: Cohort, sums: Sums) -> tuple[Population, Vector | None]:
        """Divide coordinate by coordinate."""
        if len(cohort) == 0:
            return state, None
        mean, fisher = sums["update"] / state.weights[cohort.clients].sum(), sums["fisher"]
        known = fisher > 0
        update: Vector = np.where(known, sums["moved"] / np.where(known, fisher, 1.0), mean)
        return state, update
