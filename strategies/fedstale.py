r"""FedStale(beta): correct each fresh delta by a share beta of what the client sent last.

Rodio & Neglia, "FedStale: leveraging stale client updates in federated learning", ECAI 2024, arXiv 2405.04171. With
a_i = `weights`, p_i = `probabilities`, h_i the memory before this round and H = sum_i a_i h_i:

    v = sum_S (a_i / p_i) (delta_i - beta h_i) + beta H
    then, on S only:  H <- H + sum_S a_i (delta_i - h_i),   h_i <- delta_i

beta = 0 is FedAvg/inverse_probability, exactly, and beta = 1 FedVARP/inverse_probability, at equal `memory.of`: here
the default is `update`, h_i as it was sent, as in the authors' code; with `gradient` h_i and H are used at the rate of
the round, h_i lr_t / lr_i, which differs only when the learning rate changes. beta above 1 is allowed. Unbiased for
every beta with `on_empty: apply`; conditional variance under independent participation
sum_i a_i^2 (1 - p_i) / p_i ||delta_i - beta h_i||^2.

State: H, float64, O(d) (and O(N) counters with `probabilities: estimated`); the memories h_i, N x d, live with the
clients' hosts. Empty cohort: `apply` moves by beta H, as the formula says; `skip` moves nothing, remembers nothing,
and costs unbiasedness (beta P(empty) H is lost). Departures from the paper: weights a_i may follow examples; p_i may
be listed or estimated. The authors' code estimates p_i, weighs by examples and passes over empty rounds, for which
write `probabilities: estimated`, `weights: examples`, `on_empty: skip`; its server also decays the model by 5e-4 in
every round, for which write `server_weight_decay: 5e-4`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core.contracts import Cohort, Diagnostics, LinearSum, MemoryOf, Parameters, Population, Rule, Sums, Vector
from fedsim.strategies import inverse
from fedsim.strategies.inverse import Inverse, Probabilities


@dataclass(frozen=True)
class StaleState:
    """H = sum_i a_i h_i (d,), and where 1/p_i comes from."""

    mean: Vector
    inverse: Inverse


@dataclass(frozen=True, kw_only=True)
class FedStale(Rule):
    """Correct fresh deltas by a share beta of the remembered ones (Rodio & Neglia 2024).

    >>> rule = FedStale(beta=0.5)
    >>> population = Population(np.ones(2, np.int64), np.array([0.5, 0.5]), np.array([0.5, 1.0]))
    >>> state = replace(rule.start(np.zeros(1, np.float32), population), mean=np.array([4.0]))
    >>> asked = rule.ask(state, Cohort(1, np.array([0])))
    >>> asked["update"].fresh.tolist(), asked["update"].stale.tolist(), asked["innovation"].fresh.tolist()
    ([1.0], [-0.5], [0.5])
    >>> after, update = rule.step(state, Cohort(1, np.array([0])), {"update": np.ones(1), "innovation": np.ones(1)})
    >>> update.tolist(), after.mean.tolist()
    ([3.0], [5.0])
    """

    remembers: ClassVar[bool] = True
    forms: ClassVar[tuple[str, ...]] = ("beta",)
    memory_of: ClassVar[MemoryOf] = "update"

    name: Literal["fedstale"] = "fedstale"
    beta: Annotated[float, Ge(0)] = 0.5
    """Share of the memory that is subtracted from each fresh delta and added back as beta H; above 1 is allowed."""
    probabilities: Probabilities = "known"
    """Where p_i comes from."""
    on_empty: Literal["apply", "skip"] = "apply"
    """What an empty cohort does: move by beta H, or nothing."""

    def needs_probabilities(self) -> bool:
        """`known` p_i must come from the participation process."""
        return self.probabilities == "known"

    def start(self, params: Parameters, population: Population) -> StaleState:
        """Start with an empty memory."""
        return StaleState(np.zeros(len(params)), inverse.begin(self.probabilities, population))

    def ask(self, state: StaleState, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for the corrected update and for what the memory mean gains."""
        weights = state.inverse.population.weights[cohort.clients]
        scaled = weights * state.inverse.factors()[cohort.clients]
        return {
            "update": LinearSum(scaled, -self.beta * scaled),
            "innovation": LinearSum(weights, -weights, stored=True),
        }

    def step(self, state: StaleState, cohort: Cohort, sums: Sums) -> tuple[StaleState, Vector | None]:
        """Use the old H, then let it take in the innovation."""
        after = state.inverse.after(cohort)
        if len(cohort) == 0 and self.on_empty == "skip":
            return replace(state, inverse=after), None
        update = sums["update"] + self.beta * state.mean
        return StaleState(state.mean + sums["innovation"], after), update

    def memory_mean(self, state: StaleState) -> Vector:
        """Return H."""
        return state.mean

    def diagnostics(self, state: StaleState, cohort: Cohort) -> Diagnostics:
        """Tell the estimate of 1/p_i, where there is one."""
        return state.inverse.diagnostics(cohort)
