r"""FedAU: weigh each delta by the client's mean participation interval, a running estimate of 1/p_i.

Wang & Ji, "A lightweight method for tackling unknown participation statistics in federated averaging", ICLR 2024,
arXiv 2306.03401, Algorithms 1 and 2, and the authors' public code:

    v = (1/N) sum_S w_i delta_i        with w_i as it was *before* this round; see `fedsim.strategies.intervals`

Divided by N, never by |S| and never by the sum of weights; the objective is uniform (a_i = 1/N). `cutoff` is K: an
open interval of length K is closed as if the client had come, which bounds the variance and costs a bias: under
Bernoulli(p) E[w] -> (1 - (1-p)^K)/p. K = 1 is exactly FedAvg/population; full participation gives w = 1 for ever.

State: closed intervals, open lengths, weights, O(N). Empty cohort: nothing arrives, nothing moves; the intervals
advance. Departures from the paper: none; the authors' code passes over empty rounds, and its intervals stand still
in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from fedsim.core.contracts import Cohort, Diagnostics, LinearSum, Parameters, Population, Rule, Sums, Vector
from fedsim.strategies import intervals
from fedsim.strategies.intervals import Intervals
from fedsim.strategies.inverse import uniform_only


@dataclass(frozen=True, kw_only=True)
class FedAU(Rule):
    """Weigh each delta by the client's mean participation interval (Wang & Ji 2024).

    >>> import numpy as np
    >>> rule = FedAU(cutoff=3)
    >>> state = rule.start(np.zeros(1, np.float32), Population(np.ones(2, np.int64), np.array([0.5, 0.5])))
    >>> for round, clients in enumerate(([0], [0, 1], [0]), start=1):
    ...     cohort = Cohort(round, np.array(clients))
    ...     state, _ = rule.step(state, cohort, {"update": np.zeros(1)})
    >>> rule.ask(state, Cohort(4, np.array([0, 1])))["update"].fresh.tolist()
    [0.5, 1.0]
    """

    name: Literal["fedau"] = "fedau"
    cutoff: Annotated[int, Ge(1)] | None = 50
    """K, the longest interval before it is closed; null for none."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """The paper's objective is uniform."""
        yield from uniform_only(self.weights, "fedau")

    def start(self, params: Parameters, population: Population) -> Intervals:
        """Start with w_i = 1."""
        return intervals.start(population.num_clients)

    def ask(self, state: Intervals, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for (1/N) sum w_i delta_i."""
        return {"update": LinearSum(state.weight[cohort.clients] / len(state.weight))}

    def step(self, state: Intervals, cohort: Cohort, sums: Sums) -> tuple[Intervals, Vector | None]:
        """Use w, then advance every client's interval."""
        after = intervals.advance(state, cohort.clients, self.cutoff)
        return after, sums["update"] if len(cohort) else None

    def diagnostics(self, state: Intervals, cohort: Cohort) -> Diagnostics:
        """Tell w and the cutoffs."""
        return intervals.diagnostics(state, cohort, self.cutoff)
