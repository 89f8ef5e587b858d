"""Where the methods settle on heterogeneous quadratics: at the optimum, or at the biased point that theory predicts."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from fedsim.core import Cohort, Population, Rule
from fedsim.core.rng import stream
from fedsim.strategies.fedau import FedAU
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.fedstale import FedStale
from fedsim.strategies.fedvarp import FedVARP
from fedsim.strategies.mifa import MIFA

P = np.array([0.05, 0.2, 0.5, 0.9])
CENTERS = np.array([0.0, 1.0, 3.0, 7.0])
N, LR, ROUNDS, BURN_IN, SEEDS = 4, 0.1, 4000, 1500, 8
CUTOFF = 10


def long_run_mean(rule: Rule, seed: int) -> float:
    """Return the time average of w under w' = w + v, delta_i = -lr (w - c_i), float64 throughout."""
    population = Population(np.ones(N, np.int64), np.full(N, 1 / N), P)
    present = stream(seed, "long-run").random((ROUNDS, N)) < P
    state: Any = rule.start(np.zeros(1, np.float32), population)
    w, memory, total = 3.0, np.zeros(N), 0.0
    for round, row in enumerate(present, start=1):
        clients = np.flatnonzero(row)
        deltas = -LR * (w - CENTERS[clients])
        cohort = Cohort(round, clients)
        sums = {
            name: np.array([asked.fresh @ deltas + (0.0 if asked.stale is None else asked.stale @ memory[clients])])
            for name, asked in rule.ask(state, cohort).items()
        }
        state, update = rule.step(state, cohort, sums)
        memory[clients] = deltas
        w += 0.0 if update is None else float(update[0])
        total += w if round > BURN_IN else 0.0
    return total / (ROUNDS - BURN_IN)


def weighted(weights: Any) -> float:
    return float(weights @ CENTERS / np.sum(weights))


def participants_weights() -> Any:
    """E[1{i in S} / |S|] over all non-empty cohorts, by enumeration."""
    weights = np.zeros(N)
    for row in product([0, 1], repeat=N):
        present = np.array(row)
        if present.sum():
            weights += np.prod(np.where(present, P, 1 - P)) * present / present.sum()
    return weights


OPTIMUM = weighted(np.ones(N))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "point"),
    [
        (FedAvg(), weighted(participants_weights())),
        (FedAvg(normalise="population"), weighted(P)),
        (FedAU(cutoff=CUTOFF), weighted(1 - (1 - P) ** CUTOFF)),
        (FedAvg(normalise="inverse_probability"), OPTIMUM),
        (FedStale(beta=0.5), OPTIMUM),
        (FedStale(beta=1.0), OPTIMUM),
        (FedVARP(), OPTIMUM),
        (FedVARP(normalise="inverse_probability"), OPTIMUM),
        (MIFA(), OPTIMUM),
    ],
    ids=lambda value: getattr(value, "name", None) and repr(value),
)
def test_the_long_run_mean_lands_where_theory_says(rule: Rule, point: float) -> None:
    means = np.array([long_run_mean(rule, seed) for seed in range(SEEDS)])
    error = means.std(ddof=1) / np.sqrt(SEEDS)
    assert abs(means.mean() - point) <= 4 * error + 1e-5
    if point != OPTIMUM:  # and the prediction is not the optimum in disguise
        assert abs(means.mean() - OPTIMUM) > 10 * error
