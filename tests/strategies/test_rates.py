"""Memories under a changing learning rate: used at the rate of the round, while H stays the sum of what is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedsim.core import Rule
from fedsim.strategies.fedstale import FedStale
from fedsim.strategies.fedvarp import FedVARP
from fedsim.strategies.flower.adapter import RuleStrategy
from fedsim.strategies.mifa import MIFA

from .scripted import ScriptedGrid, advance, play_on, population

N, D = 5, 3
P = (1.0, 0.3, 0.5, 0.9, 0.2)
COHORTS = [[0, 1, 4], [], [2], [0, 3, 4], [1, 2], [0, 2, 4], [0, 1, 2, 3, 4], [3]]
RULES: list[Rule] = [MIFA(), FedVARP(), FedVARP(normalise="inverse_probability"), FedStale(beta=0.5)]
each_rule = pytest.mark.parametrize("rule", RULES, ids=["mifa", "fedvarp", "fedvarp-ip", "fedstale"])


def falling(round: int) -> float:
    return 0.5 * 0.7 ** (round - 1)


def noise(round: int, client: int) -> Any:
    return np.random.Generator(np.random.Philox(key=[round, client])).normal(size=D)


def begun(rule: Rule, rates: Callable[[int], float] | None) -> tuple[RuleStrategy, ScriptedGrid]:
    strategy = RuleStrategy(rule, population(N, P), lambda r: np.array(COHORTS[r - 1], np.int64), 2, rates=rates)
    strategy.begin(np.zeros(D, np.float32))
    return strategy, ScriptedGrid(noise, D, 2)


@each_rule
def test_every_update_is_its_combination_of_the_deltas_as_they_were_sent(rule: Rule) -> None:
    strategy, grid = begun(rule, falling)
    sent = np.zeros((N, D))
    for round, clients in enumerate(COHORTS, start=1):
        outcome = play_on(strategy, grid, round)
        assert outcome.used is not None
        assert outcome.used.stale is not None
        assert outcome.update is not None
        deltas = np.array([noise(round, c) for c in clients], np.float32).reshape(-1, D)
        expected = outcome.used.fresh @ deltas + outcome.used.stale @ sent
        np.testing.assert_allclose(outcome.update, expected, atol=1e-13)
        sent[clients] = deltas


@each_rule
def test_the_running_mean_is_that_of_the_memories_at_the_rate_of_the_round(rule: Rule) -> None:
    strategy, grid = begun(rule, falling)
    advance(strategy, grid, range(1, len(COHORTS) + 1))
    assert strategy.state is not None
    last = len(COHORTS)
    sent = {client: max(r for r, clients in enumerate(COHORTS, start=1) if client in clients) for client in range(N)}
    used = [falling(last) / falling(made) * np.float64(np.float32(noise(made, c))) for c, made in sent.items()]
    np.testing.assert_allclose(strategy.state.rule.mean, np.mean(used, axis=0), rtol=1e-12)


@each_rule
def test_a_constant_rate_changes_no_bit(rule: Rule) -> None:
    ends = []
    for rates in (None, lambda round: 0.1):
        strategy, grid = begun(rule, rates)
        ends.append([p.tobytes() for p in advance(strategy, grid, range(1, len(COHORTS) + 1))])
    assert ends[0] == ends[1]


@each_rule
def test_a_rate_of_zero_moves_the_model_by_no_memory(rule: Rule) -> None:
    strategy, grid = begun(rule, lambda round: 0.5 if round == 1 else 0.0)
    params = advance(strategy, grid, range(1, 3))  # nobody comes in round 2
    assert params[1].tolist() == params[0].tolist()
    assert np.isfinite(params).all()


def test_fedstale_with_all_memory_is_fedvarp_bit_for_bit_under_one_law_of_memory() -> None:
    ends = []
    for rule in (FedStale(beta=1.0), FedVARP(normalise="inverse_probability")):
        strategy, grid = begun(rule, falling)
        ends.append([p.tobytes() for p in advance(strategy, grid, range(1, len(COHORTS) + 1))])
    assert ends[0] == ends[1]


def test_trusting_memories_more_than_fully_goes_on_along_the_same_line() -> None:
    ends = {}
    for beta in (0.0, 1.0, 2.0):
        strategy, grid = begun(FedStale(beta=beta), None)
        advance(strategy, grid, range(1, 4))
        update = play_on(strategy, grid, 4).update
        assert update is not None
        ends[beta] = update
    np.testing.assert_allclose(ends[2.0], 2 * ends[1.0] - ends[0.0], atol=1e-12)
