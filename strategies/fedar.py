r"""FedAR: step by everybody's latest delta, each weighing less the older it is.

Jiang, Zhou, Zhang & Chakraborty, "FedAR: addressing client unavailability in federated learning with local update
approximation and rectification", ECML PKDD 2024, arXiv 2407.19103, with geometric weights: psi_i = gamma^age_i, where
age_i counts the rounds since client i came last, 0 when it is here, t in round t when it never came:

    h_i <- delta_i on S *first*;   then   v = (sum_i a_i psi_i h_i) / (sum_i a_i psi_i)   over all N clients

A client that never came has h_i = 0 and is counted in the denominator all the same. gamma = 1 is MIFA. Biased given S,
and needs no p_i.

State: the ages, O(N); the memories h_i, N x d, live with the clients' hosts, and all of them are added up anew in every
round, O(N d) there. Empty cohort: `apply` moves by what is remembered, everybody one round older; `skip` does not move.
Under a changing rate h_i is used as h_i lr_t / lr_i (`memory: {of: gradient}`, the default). Departures from the paper:
it divides by the number of clients that contribute, here by the sum of their weights; a_i may follow examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Gt, Le

from fedsim.core.contracts import Cohort, Ids, LinearSum, Parameters, Population, Rule, Sums, Vector


@dataclass(frozen=True)
class Ages:
    """Rounds since each client came last (N,), as of the round before; from 0 where it never came."""

    ages: Ids
    population: Population


@dataclass(frozen=True, kw_only=True)
class FedAR(Rule):
    """Step by everybody's latest delta, each weighing less the older it is (Jiang et al. 2024).

    >>> rule = FedAR(gamma=0.5)
    >>> state = rule.start(np.zeros(1, np.float32), Population(np.ones(2, np.int64), np.array([0.5, 0.5])))
    >>> rule.ask(state, Cohort(1, np.array([0])))["update"].stale.tolist()
    [0.25, 0.25]
    >>> state, update = rule.step(state, Cohort(1, np.array([0])), {"update": np.array([3.0])})
    >>> update.tolist(), state.ages.tolist()
    ([4.0], [0, 1])
    """

    remembers: ClassVar[bool] = True

    name: Literal["fedar"] = "fedar"
    gamma: Annotated[float, Gt(0), Le(1)] = 0.5
    """What a delta's weight is multiplied by in every round that its client stays away; 1 is MIFA."""
    on_empty: Literal["apply", "skip"] = "apply"
    """What an empty cohort does: move by what is remembered, or nothing."""

    def start(self, params: Parameters, population: Population) -> Ages:
        """Start with nobody seen."""
        return Ages(np.zeros(population.num_clients, np.int64), population)

    def ask(self, state: Ages, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for sum_i a_i psi_i h_i over all clients, with the deltas of those who will have come."""
        weights = state.population.weights
        return {"update": LinearSum(weights, weights * self.gamma ** (state.ages + 1.0), over="all memories")}

    def step(self, state: Ages, cohort: Cohort, sums: Sums) -> tuple[Ages, Vector | None]:
        """Let everybody else grow older, and divide by what all weigh together."""
        ages = state.ages + 1
        ages[cohort.clients] = 0
        after = Ages(ages, state.population)
        if len(cohort) == 0 and self.on_empty == "skip":
            return after, None
        return after, sums["update"] / float(np.sum(state.population.weights * self.gamma ** ages.astype(np.float64)))
