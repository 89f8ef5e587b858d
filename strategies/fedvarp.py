r"""FedVARP: the mean memory stands in for the absent, the present correct it.

Jhunjhunwala et al., "FedVARP: tackling the variance due to partial client participation in federated learning", UAI
2022, arXiv 2207.14130, Algorithm 2. Two forms are in use; `normalise` names the one you run:

    participants          v = H + (1/|S|) sum_S (delta_i - h_i),  then H <- H + (1/N) sum_S (delta_i - h_i)
                          the paper's: H = (1/N) sum_i h_i, |S| fixed and uniform without replacement
    inverse_probability   v = sum_S (a_i/p_i)(delta_i - h_i) + H,  H = sum_i a_i h_i;  this is FedStale(beta=1)

and in both h_i <- delta_i on S afterwards. They agree when a_i = 1/N and p_i = |S|/N. Dividing by a *realised random*
|S| under unequal p_i is biased: results must name the form.

State: H, float64, O(d); the memories h_i, N x d, live with the clients' hosts. Empty cohort: `apply` moves by H,
`skip` moves nothing and remembers nothing. The paper remembers delta_i / (lr tau), and so, but for the number of steps
tau, does `memory: {of: gradient}`, the default: under a changing rate h_i is used as h_i lr_t / lr_i, and so is H; with
`update` h_i is the delta as it was sent. Departures from the paper: the cohort need not be of fixed size, and clients
may do unequal numbers of steps, which are not divided by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from fedsim.core.contracts import Asked, Cohort, Diagnostics, LinearSum, Parameters, Population, Rule, Sums, Vector
from fedsim.strategies.fedstale import FedStale, StaleState
from fedsim.strategies.inverse import Inverse, Probabilities, uniform_only


@dataclass(frozen=True, kw_only=True)
class FedVARP(Rule):
    """The mean memory stands in for the absent, the present correct it (Jhunjhunwala et al. 2022).

    >>> rule = FedVARP()
    >>> state = rule.start(np.zeros(1, np.float32), Population(np.ones(4, np.int64), np.full(4, 0.25)))
    >>> state = replace(state, mean=np.array([1.0]))
    >>> after, update = rule.step(state, Cohort(1, np.array([0, 3])), {"update": np.full(1, 8.0),
    ...                                                               "innovation": np.full(1, 8.0)})
    >>> update.tolist(), after.mean.tolist()
    ([5.0], [3.0])
    """

    remembers: ClassVar[bool] = True
    forms: ClassVar[tuple[str, ...]] = ("normalise",)

    name: Literal["fedvarp"] = "fedvarp"
    normalise: Literal["participants", "inverse_probability"] = "participants"
    """The paper's form over |S|, or the unbiased form over p_i."""
    probabilities: Probabilities = "known"
    """Where p_i comes from, for `normalise: inverse_probability`."""
    on_empty: Literal["apply", "skip"] = "apply"
    """What an empty cohort does: move by H, or nothing."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """The paper's form is uniform by definition."""
        if self.normalise == "participants":
            yield from uniform_only(self.weights, "fedvarp with normalise: participants")

    @property
    def _unbiased(self) -> FedStale | None:
        if self.normalise == "participants":
            return None
        return FedStale(beta=1.0, probabilities=self.probabilities, on_empty=self.on_empty)

    def unbiased(self) -> bool:
        """Only the inverse-probability form with `known` p_i is, and moves in empty rounds too."""
        return self._unbiased is not None and self._unbiased.unbiased()

    def needs_probabilities(self) -> bool:
        """Only the inverse-probability form with `known` p_i does."""
        return self._unbiased is not None and self._unbiased.needs_probabilities()

    def start(self, params: Parameters, population: Population) -> StaleState:
        """Start with an empty memory."""
        if self._unbiased is not None:
            return self._unbiased.start(params, population)
        return StaleState(np.zeros(len(params)), Inverse(population))

    def ask(self, state: StaleState, cohort: Cohort) -> Mapping[str, Asked]:
        """Ask for sum_S (delta_i - h_i): as it is for the update, as it will be stored for H."""
        if self._unbiased is not None:
            return self._unbiased.ask(state, cohort)
        ones = np.ones(len(cohort))
        return {"update": LinearSum(ones, -ones), "innovation": LinearSum(ones, -ones, stored=True)}

    def step(self, state: StaleState, cohort: Cohort, sums: Sums) -> tuple[StaleState, Vector | None]:
        """Divide by the realised |S|, then let H take in 1/N of the innovation."""
        if self._unbiased is not None:
            return self._unbiased.step(state, cohort, sums)
        if len(cohort) == 0:
            return state, state.mean if self.on_empty == "apply" else None
        mean = state.mean + sums["innovation"] / state.inverse.population.num_clients
        return replace(state, mean=mean), sums["update"] / len(cohort) + state.mean

    def memory_mean(self, state: StaleState) -> Vector:
        """Return H."""
        return state.mean

    def diagnostics(self, state: StaleState, cohort: Cohort) -> Diagnostics:
        """Tell the estimate of 1/p_i, where there is one."""
        return state.inverse.diagnostics(cohort)
