"""From what a round came to, to the numbers that are reported. Reads only; draws nothing; feeds nothing back."""

from __future__ import annotations

from math import sqrt

import numpy as np

from fedsim.core import Diagnostics, Population, Strategy
from fedsim.core.contracts import WEIGHT, Parameters
from fedsim.engine.round.totals import RunTotals, traffic
from fedsim.metrics.statistics import square_norm, total, update_variance
from fedsim.participation.environment import Attendance
from fedsim.strategies.flower.coordinator import RoundResult

CRASHES = ("raised", "non-finite", "shape", "timeout", "crash", "host")


def round_values(
    outcome: RoundResult,
    ledger: RunTotals,
    there: Attendance,
    rule: Strategy,
    population: Population,
    params: Parameters,
) -> dict[str, float]:
    """Return the metrics of one training round."""
    counted = total(reply.statistics for reply in outcome.replies)
    clients = counted.get("clients", 0.0)
    crashed = sum(failure.kind in CRASHES for failure in outcome.failures)
    values = {
        "cohort_size": float(len(outcome.cohort)),
        "empty_round": float(len(outcome.cohort) == 0),
        "num_invited": float(len(there.scheduled)),
        "num_crashed": float(crashed),
        "num_lost": float(len(outcome.failures) - crashed),
        "params_norm": sqrt(square_norm(params.astype(np.float64))),
        "update_norm": 0.0 if outcome.update is None else sqrt(square_norm(outcome.update)),
    }
    if outcome.used is not None:
        values["objective_tv"] = ledger.total_variation(population.weights)
    if clients:
        values["train_loss"] = counted["loss"] / clients
        if outcome.cohort_sum is not None:
            values["update_variance"] = update_variance(clients, counted["delta_square"], outcome.cohort_sum / clients)
    values |= traffic(outcome, there)
    values["messages"] = 2.0 * len(outcome.replies)
    values["wire_bytes"] = float(sum(reply.nbytes for reply in outcome.replies) + len(outcome.replies) * params.nbytes)
    if there.arrivals is not None:
        values["num_late"] = float(len(there.arrivals.late))
        values["num_surplus"] = float(len(there.arrivals.surplus))
        values["virtual_s"] = ledger.virtual_s
    if rule.remembers:
        ages = ledger.ages(outcome.cohort.round)
        values["memory_age_mean"] = float(ages.mean()) if len(ages) else 0.0
        values["memory_age_max"] = float(ages.max(initial=0))
    return values | dict(outcome.told.values) | weight_values(outcome.told, population)


def weight_values(told: Diagnostics, population: Population) -> dict[str, float]:
    """Return how a strategy's estimate compares with 1/p_i, where both are known."""
    if WEIGHT not in told.vectors or population.probabilities is None:
        return {}
    relative = told.vectors[WEIGHT] * population.probabilities
    return {
        "weight_bias": float(relative.mean() - 1.0),
        "weight_variance": float(((relative - relative.mean()) ** 2).mean()),
    }
