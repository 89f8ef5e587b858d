"""fedar, fednova, fedexp and mimic: traces from the text of a scenario, identities, and the papers' formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import Population
from fedsim.engine.run.run import resume
from fedsim.strategies.fedar import FedAR
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.fedexp import FedExP
from fedsim.strategies.fednova import FedNova
from fedsim.strategies.mifa import MIFA
from fedsim.strategies.mimic import MimiC

from .scripted import from_table, play, population
from .through_yaml import TWO, points

N, D = 5, 4
COHORTS = [[0, 1, 4], [], [2], [0, 3, 4], [1, 2], [], [0, 1, 2, 3, 4]]


def noise(round: int, client: int) -> Any:
    return np.random.Generator(np.random.Philox(key=[round, client])).normal(size=D)


def moved(rule: Any, crowd: Population | None = None, **more: Any) -> list[Any]:
    return play(rule, crowd or population(N), COHORTS, noise, size=D, **more)[0]


@pytest.mark.parametrize(
    ("strategy", "after"),
    [
        ("{name: mifa}", (0.905, 1.599225, 2.05949625, 2.47604173, 2.62942713)),
        ("{name: fedar, gamma: 1.0}", (0.905, 1.599225, 2.05949625, 2.47604173, 2.62942713)),
        ("{name: fedar, gamma: 0.5}", (0.87333333, 1.87306667, 2.23749333, 2.31565618, 2.52517652)),
        ("{name: fedar}", (0.87333333, 1.87306667, 2.23749333, 2.31565618, 2.52517652)),
    ],
)
def test_two_clients_move_a_number_as_computed_elsewhere(
    strategy: str, after: tuple[float, ...], tmp_path: Path
) -> None:
    assert points(f"{TWO}\nstrategy: {strategy}", 5, tmp_path) == pytest.approx(after, rel=1e-7)


def test_fedar_without_forgetting_is_mifa() -> None:
    weights = [0.1, 0.2, 0.3, 0.15, 0.25]
    one, other = (moved(rule, population(N, weights=weights)) for rule in (FedAR(gamma=1.0), MIFA()))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_fedar_counts_who_never_came_as_old_as_the_run() -> None:
    # one of two clients comes once: 1 * d / (1 + 1/2), then 1/2 d / (1/2 + 1/4), then 1/4 d / (1/4 + 1/8): 2/3 d each
    params, _, _ = play(FedAR(gamma=0.5), population(2), [[0], [], []], from_table({1: {0: 3.0}}))
    assert [float(p[0]) for p in params] == pytest.approx([2, 4, 6], rel=1e-6)


def steps(*counts: int) -> Population:
    known = population(len(counts), weights=np.arange(1, len(counts) + 1) / sum(range(len(counts) + 1)))
    return Population(known.num_examples, known.weights, None, np.array(counts))


def test_equal_steps_make_fednova_fedavg_bit_for_bit() -> None:
    one, other = moved(FedNova(), steps(3, 3, 3, 3, 3)), moved(FedAvg(), steps(3, 3, 3, 3, 3))
    assert [p.tobytes() for p in one] == [p.tobytes() for p in other]


def test_fednova_is_the_papers_formula_under_unequal_steps() -> None:
    crowd, x = steps(1, 4, 2, 7, 3), np.zeros(D)
    assert crowd.steps is not None
    found = moved(FedNova(), crowd)
    for round, cohort in enumerate(COHORTS, start=1):
        if cohort:
            p, tau = crowd.weights[cohort] / crowd.weights[cohort].sum(), crowd.steps[cohort]
            x = x + p @ tau * sum(p[k] * np.float32(noise(round, i)) / tau[k] for k, i in enumerate(cohort))
        np.testing.assert_allclose(found[round - 1], x, rtol=0, atol=1e-6)


def test_fednova_ends_at_the_optimum_where_fedavg_follows_who_does_more_steps(tmp_path: Path) -> None:
    ends = {}
    x = np.zeros((40, 1), np.float32)
    y, owner = np.zeros(40, np.int64), np.repeat([0, 1], [4, 36])
    x[owner == 1], y[owner == 1] = 1.0, 1
    np.savez(tmp_path / "data.npz", x=x, y=y, client=owner)
    for name in ("fedavg", "fednova"):
        scenario = {
            "name": "steps",
            "rounds": 1,
            "data": {"dataset": "npz", "path": str(tmp_path / "data.npz"), "partition": {"kind": "natural"}},
            "model": {"name": "linear"},
            "client": {"local_epochs": 1, "batch_size": 4, "lr": 0.1},
            "strategy": {"name": name},
        }
        run = fedsim.run(scenario, out=tmp_path / name)
        with np.load(run.folder / "params.npz") as params:
            ends[name] = np.concatenate([params[key].ravel() for key in sorted(params.files)])
    assert not np.allclose(ends["fedavg"], ends["fednova"])  # 1 and 9 steps: the scenario's own are known


def test_equal_deltas_make_fedexp_fedavg() -> None:
    same = [play(rule, population(N), COHORTS, lambda r, c: noise(r, 0), size=D)[0] for rule in (FedExP(), FedAvg())]
    np.testing.assert_allclose(same[0], same[1], rtol=0, atol=1e-6)


def test_fedexp_is_the_papers_formula() -> None:
    x, found, longer = np.zeros(D), moved(FedExP(eps=0.01)), 0
    for round, cohort in enumerate(COHORTS, start=1):
        if cohort:
            deltas = np.array([np.float32(noise(round, i)) for i in cohort], np.float64)
            mean = deltas.mean(axis=0)
            rate = max(1.0, (deltas**2).sum() / (2 * len(cohort) * ((mean**2).sum() + 0.01)))
            x, longer = x + rate * mean, longer + (rate > 1)
        np.testing.assert_allclose(found[round - 1], x, rtol=0, atol=1e-6)
    assert longer > 1


def test_mimic_moves_as_worked_out_by_hand() -> None:
    # round 1 {0, 1}: v = (2 + 4)/2 = 3, c = (3 - 2, 3 - 4) = (1, -1); round 2 {0}: v = 3 + 1 = 4, c_0 = 4 - 3 = 1
    # round 3 {0, 1, 2}: v = [(2 + 1) + (5 - 1) + 8]/3 = 5, c = (3, 0, -3); round 4 none; round 5 {2}: v = 7 - 3 = 4
    table = from_table({1: {0: 2, 1: 4}, 2: {0: 3}, 3: {0: 2, 1: 5, 2: 8}, 5: {2: 7}})
    params, strategy, _ = play(MimiC(), population(3), [[0, 1], [0], [0, 1, 2], [], [2]], table)
    assert [float(p[0]) for p in params] == [3, 7, 12, 12, 16]
    assert strategy.state is not None
    assert strategy.state.rule.rounds.tolist() == [3, 5]  # nobody's last round is 1 or 2 any more


def test_mimic_is_the_papers_recurrence_of_corrections() -> None:
    corrections, x, found = np.zeros((N, D)), np.zeros(D), moved(MimiC())
    for round, cohort in enumerate(COHORTS, start=1):
        if cohort:
            deltas = np.array([np.float32(noise(round, i)) for i in cohort], np.float64)
            update = np.mean(deltas + corrections[cohort], axis=0)
            corrections[cohort], x = update - deltas, x + update
        np.testing.assert_allclose(found[round - 1], x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", [FedAR(), FedNova(), FedExP(), MimiC()], ids=["fedar", "fednova", "fedexp", "mimic"])
def test_nodes_change_no_more_than_the_order_of_float64_sums(rule: Any) -> None:
    one, other = moved(rule, nodes=1), moved(rule, nodes=3)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("strategy", ["fedar", "fednova", "fedexp", "mimic"])
def test_a_run_that_is_taken_up_again_ends_with_the_same_bits(strategy: str, tmp_path: Path) -> None:
    scenario = {
        "name": "resumed",
        "rounds": 6,
        "data": {"dataset": "quadratic", "centers": [[0.0, 1.0], [4.0, -2.0], [1.0, 1.0]], "noise": 0.1},
        "model": {"name": "point", "init": [1.0, 1.0]},
        "client": {"local_steps": 2, "lr": 0.1},
        "participation": {"kind": "bernoulli", "probabilities": 0.5},
        "strategy": {"name": strategy},
    }
    whole = fedsim.run(scenario, out=tmp_path / "whole")
    fedsim.run({**scenario, "rounds": 3}, out=tmp_path / "part")
    rest = resume(tmp_path / "part", rounds=6)
    assert rest.summary["params_sha256"] == whole.summary["params_sha256"]
