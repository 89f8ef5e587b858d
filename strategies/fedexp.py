r"""FedExP: a server step that is the longer the more clients' deltas differ from their mean.

Jhunjhunwala, Wang & Joshi, "FedExP: speeding up federated averaging via extrapolation", ICLR 2023, arXiv 2301.09604,
eq. 6. With m = (1/|S|) sum_S delta_i:

    v = m * max(1, sum_S ||delta_i||^2 / (2 |S| (||m||^2 + eps)))

Equal deltas give the rate 1, which is FedAvg. Not linear in the deltas: there are no effective weights, and a probe
draws. The objective is uniform (a_i = 1/N).

State: nothing. Empty cohort: nothing arrives, nothing moves. Departures from the paper: its cohorts are of fixed size;
it evaluates the mean of the last two iterates, here it is the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core.contracts import Asked, Cohort, Dot, LinearSum, Parameters, Population, Rule, Sums, Vector
from fedsim.strategies.inverse import uniform_only


@dataclass(frozen=True, kw_only=True)
class FedExP(Rule):
    """Average those who came, and step the further the more they differ (Jhunjhunwala et al. 2023).

    >>> rule, cohort = FedExP(eps=0.0), Cohort(1, np.array([0, 1]))
    >>> rule.step((), cohort, {"update": np.array([2.0, 0.0]), "squares": np.array([26.0])})[1].tolist()
    [6.5, 0.0]
    >>> rule.step((), cohort, {"update": np.array([2.0, 0.0]), "squares": np.array([2.0])})[1].tolist()
    [1.0, 0.0]
    """

    linear: ClassVar[bool] = False

    name: Literal["fedexp"] = "fedexp"
    eps: Annotated[float, Ge(0)] = 1e-3
    """Added to the squared length of the mean: large against it, and the rate stays 1."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """The paper's mean is uniform."""
        yield from uniform_only(self.weights, "fedexp")

    def start(self, params: Parameters, population: Population) -> tuple[()]:
        """Return nothing: nothing is remembered."""
        return ()

    def ask(self, state: tuple[()], cohort: Cohort) -> Mapping[str, Asked]:
        """Ask for sum delta_i and sum ||delta_i||^2."""
        ones = np.ones(len(cohort))
        return {"update": LinearSum(ones), "squares": Dot(ones)}

    def step(self, state: tuple[()], cohort: Cohort, sums: Sums) -> tuple[tuple[()], Vector | None]:
        """Divide by |S|, and extrapolate."""
        count = len(cohort)
        if count == 0:
            return state, None
        mean = sums["update"] / count
        length = float(np.sum(mean**2)) + self.eps
        rate = float(sums["squares"][0]) / (2 * count * length) if length > 0 else 1.0
        return state, max(1.0, rate) * mean
