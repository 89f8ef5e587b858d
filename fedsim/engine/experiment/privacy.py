"""How much noise the server of a scenario adds, and what epsilon that comes to."""

from __future__ import annotations

from fedsim.core import Population
from fedsim.engine.experiment.accountant import epsilon
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.scenario import Scenario
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.flower.noise import SumNoise


def noise(scenario: Scenario, population: Population) -> SumNoise | None:
    """Return N(0, (sigma c C)^2 I) with c the largest coefficient of any client; None where the scenario has none."""
    rule, bound = scenario.strategy, scenario.client.clip_update
    if not isinstance(rule, FedAvg) or not rule.server_noise:
        return None
    assert bound is not None, "validation refuses noise without a bound"
    return SumNoise(scenario.seed, rule.server_noise * rule.largest(population) * bound)


def spent(scenario: Scenario, population: Population, rounds: int) -> dict[str, float]:
    """Return `dp_epsilon` after so many rounds, where the scenario states a delta.

    One client more or less moves the sum by what the noise is measured by, one in place of another by twice that.
    """
    rule = scenario.strategy
    if not isinstance(rule, FedAvg) or rule.dp_delta is None:
        return {}
    assert population.probabilities is not None, "validation admits processes that know them"
    share, sigma = float(population.probabilities[0]), rule.server_noise
    if isinstance(scenario.participation, Bernoulli):
        return {"dp_epsilon": epsilon("poisson", share, sigma, rounds, rule.dp_delta)}
    return {"dp_epsilon": epsilon("fixed size", share, sigma / 2, rounds, rule.dp_delta)}
