"""The hand-checked tables: prescribed deltas through the real Flower strategy, and FedAU's trace."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from fedsim.core import Rule
from fedsim.strategies import intervals
from fedsim.strategies.fedau import FedAU
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.fedstale import FedStale
from fedsim.strategies.fedvarp import FedVARP
from fedsim.strategies.mifa import MIFA

from .scripted import from_table, play, population, round_of

# R1 S={1,2}, R2 S={1,3}, R3 S={1,2}; deltas prescribed; a = 1/3, p = (1, 1/2, 1/4), w = 0, server_lr = 1
COHORTS = [[0, 1], [0, 2], [0, 1]]
DELTAS = from_table({1: {0: -3, 1: -6}, 2: {0: -3, 2: -12}, 3: {0: 0, 1: -3}})
P = (1.0, 0.5, 0.25)


@pytest.mark.parametrize("nodes", [1, 2, 3])
@pytest.mark.parametrize(
    ("rule", "after"),
    [
        (FedAvg(normalise="inverse_probability"), (-5, -22, -24)),
        (FedStale(beta=0.0), (-5, -22, -24)),
        (FedStale(beta=0.5), (-5, -23, -26)),
        (FedStale(beta=1.0), (-5, -24, -28)),
        (FedVARP(normalise="inverse_probability"), (-5, -24, -28)),
        (FedVARP(), (Fraction(-9, 2), Fraction(-27, 2), Fraction(-35, 2))),
        (FedAvg(), (Fraction(-9, 2), -12, Fraction(-27, 2))),
        (MIFA(), (-3, -10, -15)),
    ],
    ids=["fedavg-ip", "fedstale-0", "fedstale-0.5", "fedstale-1", "fedvarp-ip", "fedvarp", "fedavg", "mifa"],
)
def test_prescribed_deltas_give_the_parameters_computed_by_hand(
    rule: Rule, after: tuple[Fraction, ...], nodes: int
) -> None:
    params, _, _ = play(rule, population(3, P), COHORTS, DELTAS, nodes=nodes)
    np.testing.assert_allclose([p[0] for p in params], [float(x) for x in after], rtol=3e-7)


def test_memories_end_as_the_last_delta_sent_by_each_client() -> None:
    _, _, grid = play(FedStale(), population(3, P), COHORTS, DELTAS)
    held = {
        client: float(row[0]) for node in grid.nodes if node.memory is not None for client, row in node.memory.items()
    }
    assert held == {0: 0.0, 1: -3.0, 2: -12.0}


@pytest.mark.parametrize("rule", [FedStale(), FedVARP(normalise="inverse_probability"), MIFA(), FedVARP()])
def test_the_running_mean_equals_the_memories_summed_anew(rule: Rule) -> None:
    people = population(3, P)
    _, strategy, grid = play(rule, people, COHORTS, DELTAS)
    assert strategy.state is not None
    np.testing.assert_allclose(strategy.state.rule.mean, grid.audit(people.weights), rtol=1e-12)


def test_fedau_weights_follow_the_trace_computed_by_hand() -> None:
    took_part = [0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0]
    entering = [1, 1, 2, 2, 2, 2.5, 2.5, 7 / 3, 2, 2, 2, 2.2]
    rule = FedAU(cutoff=3)
    state = rule.start(np.zeros(1, np.float32), population(1))
    seen = []
    for number, present in enumerate(took_part, start=1):
        seen.append(float(state.weight[0]))
        cohort = round_of([0] if present else [], number)
        state, _ = rule.step(state, cohort, {"update": np.zeros(1)})
    np.testing.assert_allclose(seen, entering, rtol=1e-12)
    assert state.weight[0] == pytest.approx(2.2, rel=1e-12)
    assert state.open.tolist() == [1]


def test_fedau_uses_a_weight_before_it_is_updated() -> None:
    # seen in every second round, first in round 2: the first participation still counts 1, not 2
    rule = FedAU()
    params, _, _ = play(rule, population(1), [[], [0], [], [0]], lambda round, client: [1.0], nodes=1)
    assert [float(p[0]) for p in params] == [0.0, 1.0, 1.0, 3.0]


def test_mifa_waits_until_every_client_has_been_seen() -> None:
    params, _, _ = play(MIFA(init="wait"), population(3, P), [[0], [0, 2], [], [1]], lambda round, client: [3.0])
    assert [float(p[0]) for p in params] == [0.0, 0.0, 0.0, 3.0]


def test_estimated_probabilities_are_used_before_they_are_updated_and_advance_in_empty_rounds() -> None:
    rule = FedAvg(normalise="inverse_probability", probabilities="estimated")
    params, _, _ = play(rule, population(1), [[], [0], [0], [0]], lambda round, client: [1.0], nodes=1)
    # weights entering rounds 2, 3, 4: 1 (never closed), 2 (closed in round 2), 3/2
    np.testing.assert_allclose([p[0] for p in params], [0.0, 1.0, 3.0, 4.5])


def test_skipped_empty_rounds_advance_the_estimate() -> None:
    state = intervals.start(1)
    rule = FedStale(probabilities="estimated", on_empty="skip")
    kept = rule.start(np.zeros(1, np.float32), population(1))
    for number in (1, 2):
        kept, update = rule.step(kept, round_of([], number), {"update": np.zeros(1), "innovation": np.zeros(1)})
        state = intervals.advance(state, np.zeros(0, np.int64), None)
        assert update is None
    assert kept.inverse.estimator is not None
    assert kept.inverse.estimator.open.tolist() == state.open.tolist() == [2]
