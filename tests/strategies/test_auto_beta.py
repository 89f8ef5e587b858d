"""`beta: auto`: the least variance by enumeration, the running means by hand, and where it may be used."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import Cohort, Dot, LinearSum, ScenarioError
from fedsim.scenario import from_dict
from fedsim.strategies.fedstale import AutoBeta, FedStale

from .scripted import play, population

N, D = 7, 3
P = np.array([1.0, 0.3, 0.5, 0.9, 0.2, 0.7, 0.05])
A = np.array([0.1, 0.2, 0.3, 0.15, 0.05, 0.12, 0.08])
WORLD: dict[str, Any] = {
    "name": "auto",
    "rounds": 6,
    "data": {"dataset": "quadratic", "centers": [[0.0, 1.0], [4.0, -2.0], [1.0, 1.0]], "noise": 0.1},
    "model": {"name": "point", "init": [1.0, 1.0]},
    "client": {"local_steps": 2, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": [0.9, 0.5, 0.4]},
    "strategy": {"name": "fedstale", "beta": "auto"},
}


def noise(round: int, client: int) -> Any:
    return np.random.Generator(np.random.Philox(key=[round, client])).normal(size=D)


def curve(run: Any, metric: str) -> Any:
    return run.rounds.query("metric == @metric")["value"]


DELTAS, MEMORIES = (np.array([noise(round, client) for client in range(N)]) for round in (1, 2))
MEMORIES = MEMORIES + 0.8 * DELTAS


def expected(rule: FedStale) -> tuple[float, float, float]:
    """Return the variance of the update, and the means of the sums that auto learns from, over all 2^N cohorts."""
    state = replace(rule.start(np.zeros(D, np.float32), population(N, P.tolist(), A.tolist())), mean=A @ MEMORIES)
    mean, square, learnt = np.zeros(D), 0.0, np.zeros(2)
    for present in product([0, 1], repeat=N):
        chance, clients = float(np.prod(np.where(present, P, 1 - P))), np.flatnonzero(present)
        sums, vectors = {}, {"delta": DELTAS[clients], "h": MEMORIES[clients]}
        for name, asked in rule.ask(state, Cohort(3, clients)).items():
            if isinstance(asked, Dot):
                sums[name] = np.array([asked.weights @ np.sum(vectors[asked.one] * vectors[asked.other], axis=1)])
            elif isinstance(asked, LinearSum):
                sums[name] = asked.fresh @ vectors["delta"] + (0 if asked.stale is None else asked.stale @ vectors["h"])
        _, update = rule.step(state, Cohort(3, clients), sums)
        assert update is not None
        mean += chance * update
        square += chance * float(update @ update)
        if "product" in sums:
            learnt += chance * np.array([sums["product"][0], sums["square"][0]])
    return square - float(mean @ mean), learnt[0], learnt[1]


def test_what_it_aims_at_is_the_least_variance_of_all_cohorts() -> None:
    at = [expected(FedStale(beta=beta))[0] for beta in (0.0, 1.0, 2.0)]  # a parabola in beta
    curvature = at[0] - 2 * at[1] + at[2]
    least = (3 * at[0] - 4 * at[1] + at[2]) / (2 * curvature)
    _, top, bottom = expected(FedStale(beta="auto"))
    c = A**2 * (1 - P) / P
    assert top == pytest.approx(np.sum(c * np.sum(DELTAS * MEMORIES, axis=1)), rel=1e-12)
    assert bottom == pytest.approx(np.sum(c * np.sum(MEMORIES**2, axis=1)), rel=1e-12)
    assert top / bottom == pytest.approx(least, abs=1e-12)
    assert 0 < least < 1
    for other in (least - 0.01, least + 0.01):
        assert expected(FedStale(beta=least))[0] < expected(FedStale(beta=other))[0]


def test_running_means_and_beta_follow_a_loop_written_elsewhere() -> None:
    rule = FedStale(beta="auto", beta_max=1.5)
    cohorts = [[0, 1, 4], [], [2, 1], [0, 3, 4], [1, 2], [0, 1, 2, 3, 4, 5, 6], [1, 3], [0, 1, 2]]
    crowd = population(N, P.tolist(), A.tolist())
    params, strategy, _ = play(rule, crowd, cohorts, noise, size=D, nodes=3)
    memories, mean, w = np.zeros((N, D)), np.zeros(D), np.zeros(D)
    top = bottom = 0.0
    beta = 0.5
    for round, clients in enumerate(cohorts, start=1):
        one = top_now = bottom_now = 0.0
        update = beta * mean
        for i in clients:
            delta = np.float64(np.float32(noise(round, i)))
            update = update + A[i] / P[i] * (delta - beta * memories[i])
            one = A[i] ** 2 * (1 - P[i]) / P[i] / P[i]
            top_now += one * float(delta @ memories[i])
            bottom_now += one * float(memories[i] @ memories[i])
        for i in clients:
            delta = np.float64(np.float32(noise(round, i)))
            mean, memories[i] = mean + A[i] * (delta - memories[i]), delta
        top, bottom = 0.8 * top + 0.2 * top_now, 0.8 * bottom + 0.2 * bottom_now
        beta = min(max(top / bottom, 0.0), 1.5) if bottom > 0 else beta
        w = w + update
        np.testing.assert_allclose(params[round - 1], w, rtol=1e-5, atol=1e-6)
    assert strategy.state is not None
    auto = strategy.state.rule.auto
    assert (auto.product, auto.square, auto.beta) == pytest.approx((top, bottom, beta), rel=1e-12)


def test_it_starts_at_one_half_and_stays_where_nothing_can_be_learnt() -> None:
    state = AutoBeta(0.0, 0.0, 0.5, True)
    assert state.after(0.0, 0.0, 1.0).beta == 0.5
    learnt = state.after(3.0, 4.0, 1.0)
    assert (learnt.product, learnt.square, learnt.beta) == pytest.approx((0.6, 0.8, 0.75))
    assert learnt.after(0.0, 0.0, 1.0).beta == pytest.approx(0.75)
    assert state.after(-3.0, 4.0, 1.0).beta == 0.0
    assert (state.after(8.0, 4.0, 1.0).beta, state.after(8.0, 4.0, 1.5).beta) == (1.0, 1.5)


def test_certain_clients_leave_it_at_one_half() -> None:
    _, strategy, _ = play(FedStale(beta="auto"), population(3, [1.0] * 3), [[0, 1, 2]] * 4, noise, size=D)
    assert strategy.state is not None
    assert strategy.state.rule.auto.beta == 0.5


def test_its_curve_is_a_metric_of_the_run(tmp_path: Path) -> None:
    run = fedsim.run(WORLD, out=tmp_path / "run")
    beta = curve(run, "beta")
    assert (len(beta), beta.iloc[0]) == (6, 0.5)
    assert beta.nunique() > 2
    assert beta.between(0, 1).all()
    assert curve(run, "beta_heuristic").tolist() == [0.0] * 6
    assert "heuristics" not in run.summary


def test_a_beta_that_is_given_has_no_curve(tmp_path: Path) -> None:
    run = fedsim.run({**WORLD, "strategy": {"name": "fedstale", "beta": 1.7}}, out=tmp_path / "run")
    assert curve(run, "beta").empty


CHAIN = {"kind": "markov", "probabilities": 0.5, "activation": 0.2}


def test_dependent_clients_are_refused_unless_their_chances_are_listed(tmp_path: Path) -> None:
    for more in ({}, {"probabilities": "estimated"}):
        for where in ({"strategy": WORLD["strategy"] | more}, {"compare": [WORLD["strategy"] | more]}):
            with pytest.raises(ScenarioError, match="beta: auto is for clients that come independently of each other"):
                from_dict({**WORLD, "participation": CHAIN, **where})
    strategy = WORLD["strategy"] | {"probabilities": [0.5, 0.5, 0.5]}
    run = fedsim.run({**WORLD, "participation": CHAIN, "strategy": strategy}, out=tmp_path / "run")
    assert run.summary["heuristics"] == ["strategy.beta"]
    assert curve(run, "beta_heuristic").tolist() == [1.0] * 6


def test_chances_that_are_listed_otherwise_or_estimated_are_a_heuristic(tmp_path: Path) -> None:
    for number, (given, marked) in enumerate([([0.9, 0.5, 0.4], 0), ([0.9, 0.5, 0.3], 1), ("estimated", 1)]):
        strategy = WORLD["strategy"] | {"probabilities": given}
        run = fedsim.run({**WORLD, "strategy": strategy}, out=tmp_path / str(number))
        assert curve(run, "beta_heuristic").tolist() == [marked] * 6


def test_groups_of_coins_are_coins(tmp_path: Path) -> None:
    groups = [{"share": 0.5, "process": {"kind": "full"}}, {"share": 0.5, "process": CHAIN}]
    world = {**WORLD, "participation": {"kind": "groups", "groups": groups}}
    with pytest.raises(ScenarioError, match="of kind groups"):
        from_dict(world)
    groups[1]["process"] = {"kind": "bernoulli", "probabilities": 0.5}
    run = fedsim.run(world, out=tmp_path / "run")
    assert "heuristics" not in run.summary


def test_a_bound_without_auto_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"strategy.beta_max: is for `beta: auto`; beta is 0.5"):
        from_dict({**WORLD, "strategy": {"name": "fedstale", "beta": 0.5, "beta_max": 2}})


def test_a_probe_measures_it_at_the_beta_of_the_round(tmp_path: Path) -> None:
    run = fedsim.run({**WORLD, "probe": {"every": 6, "draws": 20, "betas": [0.0, 1.0]}}, out=tmp_path / "run")
    probed = run.summary["probe"]["this"]
    both = [run.summary["probe"][f"fedstale_{beta}"]["variance_exact"] for beta in (0, 1)]
    assert 0 < probed["variance_exact"] < max(both)
