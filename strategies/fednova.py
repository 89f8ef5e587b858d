r"""FedNova: average what each client did per local step, times the steps of an average client.

Wang et al., "Tackling the objective inconsistency problem in heterogeneous federated optimization", NeurIPS 2020, arXiv
2007.07481, Algorithm 1 with plain SGD. With tau_i the local steps of client i, A = sum_S a_i and tau the most steps
that any client takes:

    v = [sum_S a_i (tau / tau_i) delta_i] / A  *  [sum_S a_i tau_i / tau] / A

which is the paper's tau_eff sum_S (a_i/A) (delta_i/tau_i), tau_eff = sum_S (a_i/A) tau_i, written so that equal steps
give FedAvg/participants bit for bit. Clients that do more steps get no more weight for it.

State: nothing but the clients' steps, O(N). Empty cohort: nothing arrives, nothing moves. Departures from the paper:
the cohort is the world's doing; local momentum is not taken out of the deltas (||a_i||_1 = tau_i is that of plain SGD).
Steps are those of the scenario, `local_steps` or `local_epochs` over a client's batches; a population that does not
know them has equal ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedsim.core.contracts import Cohort, LinearSum, Parameters, Population, Rule, Sums, Vector


@dataclass(frozen=True, kw_only=True)
class FedNova(Rule):
    """Average what each client did per local step, times the steps of an average client (Wang et al. 2020).

    >>> rule, population = FedNova(), Population(np.ones(2, np.int64), np.full(2, 0.5), steps=np.array([1, 4]))
    >>> state = rule.start(np.zeros(1, np.float32), population)
    >>> rule.ask(state, Cohort(1, np.array([0, 1])))["update"].fresh.tolist()
    [2.0, 0.5]
    >>> rule.step(state, Cohort(1, np.array([0, 1])), {"update": np.array([2.0 * 1 + 0.5 * 8])})[1].tolist()
    [3.75]
    """

    name: Literal["fednova"] = "fednova"

    def start(self, params: Parameters, population: Population) -> Population:
        """Return the population; nothing else is remembered."""
        return population

    def _relative(self, state: Population) -> Vector:
        """Return tau_i / tau (N,)."""
        if state.steps is None:
            return np.ones(state.num_clients)
        relative: Vector = state.steps / state.steps.max()
        return relative

    def ask(self, state: Population, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for sum a_i (tau / tau_i) delta_i."""
        return {"update": LinearSum((state.weights / self._relative(state))[cohort.clients])}

    def step(self, state: Population, cohort: Cohort, sums: Sums) -> tuple[Population, Vector | None]:
        """Multiply by the steps of an average client, then normalise over those who came."""
        if len(cohort) == 0:
            return state, None
        weights = state.weights[cohort.clients]
        total = weights.sum()
        ratio = float((weights * self._relative(state)[cohort.clients]).sum() / total)
        return state, ratio * sums["update"] / total
