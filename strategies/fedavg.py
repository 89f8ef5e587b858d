r"""FedAvg: average the deltas of those who came, under one of three denominators.

McMahan et al., "Communication-efficient learning of deep networks from decentralized data", AISTATS 2017, Algorithm 1.
With a_i = `weights`, p_i = `probabilities`, S the realised cohort and `normalise` naming the denominator:

    participants          v = (sum_S a_i delta_i) / (sum_S a_i)      biased when the p_i differ
    population            v =  sum_S a_i delta_i                     "average all": shrunk by the absent weight
    inverse_probability   v =  sum_S (a_i / p_i) delta_i             unbiased; weights do not sum to 1 in a round

State: nothing, or the interval estimate of 1/p_i, O(N), with `probabilities: estimated`. Empty cohort: nothing
arrives, nothing moves. With `server_noise` s and C = `client.clip_update`, Gaussian noise of deviation s C max_i c_i
is added to every entry of the sum before any division, c_i being the coefficient of delta_i in it (McMahan et al.,
"Learning differentially private recurrent language models", ICLR 2018, algorithm 1); the forms without a realised
denominator then step by the noise alone when nobody came. Departures from the paper: the paper samples a fixed number
of clients; here the cohort is the world's doing and the denominator is named instead of implied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core.config.plain import LATER
from fedsim.core.contracts import Cohort, Diagnostics, LinearSum, Parameters, Population, Rule, Sums, Vector
from fedsim.strategies import inverse
from fedsim.strategies.inverse import Inverse, Probabilities


@dataclass(frozen=True, kw_only=True)
class FedAvg(Rule):
    """Average the deltas of those who came, under one of three named denominators (McMahan et al. 2017).

    >>> import numpy as np
    >>> rule = FedAvg(normalise="participants")
    >>> population = Population(np.array([1, 1, 2]), np.array([0.25, 0.25, 0.5]))
    >>> state = rule.start(np.zeros(1, np.float32), population)
    >>> cohort = Cohort(1, np.array([0, 2]))
    >>> rule.ask(state, cohort)["update"].fresh.tolist()
    [0.25, 0.5]
    >>> rule.step(state, cohort, {"update": np.array([0.25 * 6 + 0.5 * 3])})[1].tolist()
    [4.0]
    """

    forms: ClassVar[tuple[str, ...]] = ("normalise",)

    name: Literal["fedavg"] = "fedavg"
    normalise: Literal["participants", "population", "inverse_probability"] = "participants"
    """The denominator: who came, everyone, or 1/p_i per client."""
    probabilities: Probabilities = "known"
    """Where p_i comes from, for `normalise: inverse_probability`."""

    server_noise: Annotated[float, Ge(0)] = field(default=0.0, metadata=LATER)
    """Standard deviation of the Gaussian noise on the sum of clipped deltas, in multiples of how far one client can
    move that sum: `client.clip_update` times the largest coefficient of any client."""
    dp_delta: Annotated[float, Gt(0), Lt(1)] | None = field(default=None, metadata=LATER)
    """The delta at which `dp_epsilon` is told, of (epsilon, delta) differential privacy of clients; null tells none."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Refuse noise where one client can move the sum by more than is known before the run."""
        if self.server_noise and type(self) is not FedAvg:
            yield "server_noise", "is measured by FedAvg's own sum, and a class derived from it may ask for another"
        if self.server_noise and self.correction is not None:
            text = "client.clip_update bounds deltas, and a correction has clients start elsewhere or send more"
            yield "server_noise", f"{text}; leave one out"
        if self.server_noise and self.normalise == "inverse_probability" and self.probabilities == "estimated":
            yield "server_noise", "is measured by the largest a_i / p_i, which an estimate does not bound; list the p_i"

        if self.dp_delta is not None and not 0.1 <= self.server_noise <= 1e6:
            yield "dp_delta", f"epsilon is told of server_noise from 0.1 to 1e6; got {self.server_noise:g}"
        if self.dp_delta is not None and self.normalise == "participants" and self.weights != "uniform":
            yield "dp_delta", "the sum is divided by the weight of who came, which has no noise; use weights: uniform"

    def largest(self, population: Population) -> float:
        """Return max_i c_i over all clients: one client moves the sum by at most this times the bound of its delta."""
        everyone = Cohort(1, np.arange(population.num_clients))
        state = self.start(np.zeros(0, np.float32), population)
        return float(self._coefficients(state, everyone).max())

    def unbiased(self) -> bool:
        """Only the inverse-probability form with `known` p_i is."""
        return self.needs_probabilities()

    def needs_probabilities(self) -> bool:
        """Only the inverse-probability form with `known` p_i does."""
        return self.normalise == "inverse_probability" and self.probabilities == "known"

    def start(self, params: Parameters, population: Population) -> Inverse:
        """Return what 1/p_i is known from; the other forms never look."""
        wants = self.normalise == "inverse_probability"
        return inverse.begin(self.probabilities, population) if wants else Inverse(population)

    def _coefficients(self, state: Inverse, cohort: Cohort) -> Vector:
        weights = state.population.weights[cohort.clients]
        return weights * state.factors()[cohort.clients] if self.normalise == "inverse_probability" else weights

    def ask(self, state: Inverse, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for sum a_i delta_i, or sum (a_i / p_i) delta_i."""
        return {"update": LinearSum(self._coefficients(state, cohort))}

    def step(self, state: Inverse, cohort: Cohort, sums: Sums) -> tuple[Inverse, Vector | None]:
        """Normalise by the realised cohort where the form says so."""
        after = state.after(cohort)
        if len(cohort) == 0 and (self.normalise == "participants" or not self.server_noise):
            return after, None
        if self.normalise == "participants":
            return after, sums["update"] / state.population.weights[cohort.clients].sum()
        return after, sums["update"]

    def diagnostics(self, state: Inverse, cohort: Cohort) -> Diagnostics:
        """Tell the estimate of 1/p_i, where there is one."""
        return state.diagnostics(cohort)
