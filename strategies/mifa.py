r"""MIFA: step by the mean of everybody's latest delta, however old.

Gu et al., "Fast federated learning in the presence of arbitrary device unavailability", NeurIPS 2021, arXiv
2106.04159, Algorithm 1:

    h_i <- delta_i on S *first*:  H <- H + sum_S a_i (delta_i - h_i);   then   v = H = sum_i a_i h_i

Biased given S, and needs no p_i. State: H, float64, O(d), and who has been seen, O(N); the memories h_i, N x d, live
with the clients' hosts. `init: zero` starts from empty memories; `init: wait` does not move the model until every
client has been seen once (the paper's assumption). Empty cohort: `apply` moves by H, `skip` does not move.
The paper remembers delta_i / lr, and so does `memory: {of: gradient}`, the default: under a changing rate h_i is used
as h_i lr_t / lr_i, and so is H; K_i stays in it. With `update` h_i is the delta as it was sent. Departures from the
paper: weights a_i may follow examples, clients may do unequal numbers of steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from fedsim.core.contracts import Cohort, LinearSum, Parameters, Population, Rule, Sums, Vector


@dataclass(frozen=True)
class MifaState:
    """H = sum_i a_i h_i (d,) and which clients have been seen (N,)."""

    mean: Vector
    seen: npt.NDArray[np.bool_]
    population: Population


@dataclass(frozen=True, kw_only=True)
class MIFA(Rule):
    """Step by the mean of everybody's latest delta, however old (Gu et al. 2021).

    >>> rule = MIFA()
    >>> state = rule.start(np.zeros(1, np.float32), Population(np.ones(2, np.int64), np.array([0.5, 0.5])))
    >>> state, update = rule.step(state, Cohort(1, np.array([0])), {"innovation": np.array([3.0])})
    >>> update.tolist(), rule.step(state, Cohort(2, np.array([], int)), {"innovation": np.zeros(1)})[1].tolist()
    ([3.0], [3.0])
    """

    remembers: ClassVar[bool] = True

    name: Literal["mifa"] = "mifa"
    init: Literal["zero", "wait"] = "zero"
    """Start from empty memories, or do not move until every client has been seen."""
    on_empty: Literal["apply", "skip"] = "apply"
    """What an empty cohort does: move by H, or nothing."""

    def start(self, params: Parameters, population: Population) -> MifaState:
        """Start with empty memories."""
        return MifaState(np.zeros(len(params)), np.zeros(population.num_clients, bool), population)

    def _moves(self, seen: npt.NDArray[np.bool_], cohort: Cohort) -> bool:
        if len(cohort) == 0 and self.on_empty == "skip":
            return False
        return self.init == "zero" or bool(seen.all())

    def _after(self, state: MifaState, cohort: Cohort) -> npt.NDArray[np.bool_]:
        seen = state.seen.copy()
        seen[cohort.clients] = True
        return seen

    def ask(self, state: MifaState, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for what the memory mean gains."""
        weights = state.population.weights[cohort.clients]
        return {"innovation": LinearSum(weights, -weights, stored=True)}

    def step(self, state: MifaState, cohort: Cohort, sums: Sums) -> tuple[MifaState, Vector | None]:
        """Take in the innovation first, then move by H."""
        mean = state.mean + sums["innovation"]
        seen = self._after(state, cohort)
        return MifaState(mean, seen, state.population), mean if self._moves(seen, cohort) else None

    def memory_mean(self, state: MifaState) -> Vector:
        """Return H."""
        return state.mean
