"""The factor 1/p_i of the unbiased forms: from known, listed or estimated probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt, Le

from fedsim.core import ScenarioError
from fedsim.core.contracts import SILENT, Cohort, Diagnostics, Population, Vector
from fedsim.strategies import intervals
from fedsim.strategies.intervals import Intervals

Probability = Annotated[float, Gt(0), Le(1)]
Probabilities = Literal["known", "estimated"] | tuple[Probability, ...]
"""`known`: the participation process's own p_i; `estimated`: the running interval estimate; or a list of N."""


@dataclass(frozen=True)
class Inverse:
    """1/p_i for all clients, and the estimator behind it when p_i is estimated (None otherwise)."""

    population: Population
    estimator: Intervals | None = None

    def factors(self) -> Vector:
        """Return 1/p_i (N,) as this round uses it: the estimate is used before it is updated."""
        if self.estimator is not None:
            return self.estimator.weight
        if self.population.probabilities is None:
            raise ScenarioError(
                "strategy.probabilities: 'known' needs a process that knows its own p_i; give a list or 'estimated'"
            )
        return 1.0 / self.population.probabilities

    def exact(self, population: Population) -> bool:
        """Return whether clients come independently, each with the p_i that is used here."""
        known = self.population.probabilities
        if self.estimator is not None or not population.coins or population.probabilities is None or known is None:
            return False
        return np.array_equal(known, population.probabilities)

    def after(self, cohort: Cohort) -> Inverse:
        """Return the same after one more round; empty and skipped rounds count too."""
        if self.estimator is None:
            return self
        return Inverse(self.population, intervals.advance(self.estimator, cohort.clients, None))

    def diagnostics(self, cohort: Cohort) -> Diagnostics:
        """Tell the estimate that a round uses, where there is one."""
        return SILENT if self.estimator is None else intervals.diagnostics(self.estimator, cohort, None)


def begin(probabilities: Probabilities, population: Population) -> Inverse:
    """Return the factors before round 1."""
    if probabilities == "estimated":
        return Inverse(population, intervals.start(population.num_clients))
    if isinstance(probabilities, tuple):
        listed = np.asarray(probabilities, dtype=np.float64)
        if len(listed) != population.num_clients:
            text = f"has {len(listed)} entries for {population.num_clients} clients"
            raise ScenarioError(f"strategy.probabilities: {text}")
        return Inverse(replace(population, probabilities=listed))
    return Inverse(population)


def uniform_only(weights: str, what: str) -> Iterator[tuple[str, str]]:
    """Yield the problem of a form whose objective is uniform by definition."""
    if weights != "uniform":
        yield "weights", f"{what} weighs all clients alike by definition: weights must be 'uniform', got '{weights}'"
