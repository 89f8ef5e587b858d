"""FedHyper's starting rate of clients: what it is after updates, who receives it, where it has no meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import Cohort, Population, ScenarioError
from fedsim.engine.run.run import resume
from fedsim.scenario import from_dict
from fedsim.strategies.corrections.fedhyper import FedHyperSL, StartingRate

from .through_yaml import ONE, points

CROWD, COHORT = Population(np.ones(1, np.int64), np.ones(1)), Cohort(1, np.array([0]))


def after(*updates: list[float], bound: float = 3.0) -> float:
    """Return the factor that goes down after some updates."""
    rule = FedHyperSL(bound=bound)
    state = rule.start(np.zeros(2, np.float32), CROWD)
    for update in updates:
        state, same = rule.step(state, COHORT, {}, np.array(update))
        assert same is not None
        assert same.tolist() == update
    return rule.order(state, COHORT).rate


def test_the_first_update_and_orthogonal_ones_leave_the_rate() -> None:
    assert after() == after([5.0, 0.0]) == after([5.0, 0.0], [0.0, -7.0]) == 1.0


def test_agreement_lengthens_and_a_turn_shortens_between_the_bounds() -> None:
    assert after([1.0, 1.0], [0.5, 0.25]) == 1.75
    assert after([9.0, 0.0], [9.0, 0.0]) == 3.0
    assert after([9.0, 0.0], [-9.0, 0.0]) == 1 / 3
    assert after([9.0, 0.0], [9.0, 0.0], bound=10.0) == 10.0
    assert after([9.0, 0.0], [9.0, 0.0], bound=1.0) == 1.0


def test_a_round_that_moves_nothing_is_passed_over() -> None:
    rule, state = FedHyperSL(), StartingRate(1.5, np.ones(2))
    assert rule.step(state, Cohort(2, np.zeros(0, np.int64)), {}, None) == (state, None)
    assert rule.step(state, COHORT, {}, None) == (state, None)


def test_the_rate_that_a_client_receives_changes_from_the_third_round_on(tmp_path: Path) -> None:
    strategy = "strategy: {name: fedavg, correction: {name: fedhyper, bound: 3}}"
    w, b, last, wanted = 1.0, 1.0, 0.0, []
    for _ in range(5):
        update = -0.1 * b * w
        w, b, last = w + update, b + update * last, update
        wanted.append(w)
    seen = points(ONE + strategy, 5, tmp_path)
    assert seen == pytest.approx(wanted, rel=2e-7)
    # without it: 0.9, 0.81, 0.729; the third step is 1.009 times as long
    assert 0.81 - seen[2] == pytest.approx(0.081 * 1.009, abs=1e-7)


WORLD: dict[str, Any] = {
    "name": "fedhyper",
    "seed": 4,
    "rounds": 6,
    "data": {"dataset": "digits", "clients": 7},
    "model": {"name": "linear"},
    "client": {"local_steps": 3, "batch_size": 8, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": 0.5},
    "strategy": {"name": "fedavg", "correction": {"name": "fedhyper"}},
    "evaluate": {"every": 6},
}


@pytest.mark.slow
def test_hosts_and_a_break_leave_the_bits(tmp_path: Path) -> None:
    whole = fedsim.run(WORLD | {"engine": {"kind": "serial"}}, out=tmp_path / "whole")
    fedsim.run(WORLD | {"rounds": 3, "engine": {"kind": "serial"}}, out=tmp_path / "part")
    resumed = resume(tmp_path / "part", rounds=6)
    hosts = fedsim.run(WORLD | {"engine": {"kind": "processes", "hosts": 2}}, out=tmp_path / "hosts")
    plain = fedsim.run(WORLD | {"strategy": {"name": "fedavg"}}, out=tmp_path / "plain")
    told = "params_sha256"
    assert resumed.summary[told] == hosts.summary[told] == whole.summary[told] != plain.summary[told]


def test_memories_of_gradients_do_not_know_the_factor() -> None:
    strategy = {"name": "mifa", "correction": {"name": "fedhyper"}}
    with pytest.raises(ScenarioError, match=r"memory.of: memories of gradients follow client.schedule alone"):
        from_dict(WORLD | {"strategy": strategy})
    from_dict(WORLD | {"strategy": strategy, "memory": {"of": "update"}})
