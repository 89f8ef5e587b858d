"""How much noise the server of a scenario adds."""

from __future__ import annotations

from fedsim.core import Population
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
