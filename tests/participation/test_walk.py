"""The walk of one token: its chances, its law at rest, how evenly it visits, and its place in a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import ScenarioError, World
from fedsim.engine.run.run import resume
from fedsim.graphs.topology import Complete, Edges, Regular
from fedsim.participation.processes.walk import BLOCK, Steps, Walk
from fedsim.scenario import from_dict

CHORD = ((0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2))
GRAPH = Edges(pairs=CHORD).draw(World(0, 5), 0)
X = np.array([3, 1, 2, 1, 1]) / 8


def dense(steps: Steps, rows: np.ndarray) -> np.ndarray:
    """Return rows that are told by neighbour as a matrix (N, N)."""
    matrix = np.zeros((5, 5))
    np.add.at(matrix, (np.arange(5)[:, None], steps.neighbours), rows)
    return matrix


def kernel(steps: Steps, x: np.ndarray) -> np.ndarray:
    return dense(steps, steps.row(np.broadcast_to(x, (5, 5)), np.arange(5)))


def test_rows_are_those_of_the_metropolis_walk_and_avoid_what_was_visited() -> None:
    steps = Steps(GRAPH, 1.0)
    np.testing.assert_allclose(dense(steps, steps.chances)[0], [0, 1 / 3, 1 / 3, 0, 1 / 3], atol=1e-15)
    np.testing.assert_allclose(kernel(steps, X)[0], [0, 0.4, 0.2, 0, 0.4], atol=1e-15)
    np.testing.assert_allclose(dense(steps, steps.chances)[3], [0, 0, 1 / 3, 1 / 6, 1 / 2], atol=1e-15)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0])
def test_the_walk_is_in_detailed_balance_whatever_was_visited(alpha: float) -> None:
    steps = Steps(GRAPH, alpha)
    r = (X * 5) ** -alpha
    pi = r * (dense(steps, steps.chances) @ r)
    flow = (pi / pi.sum())[:, None] * kernel(steps, X)
    np.testing.assert_allclose(flow, flow.T, atol=1e-15)


def test_a_large_alpha_overflows_nothing() -> None:
    rows = Steps(GRAPH, 1e5).row(np.broadcast_to(X * 1e-200, (5, 5)), np.arange(5))
    np.testing.assert_allclose(rows.sum(axis=1), 1.0)
    np.testing.assert_allclose(rows[0], [0.5, 0, 0.5, 0], atol=1e-15)


def spread(alpha: float, runs: int, rounds: int) -> float:
    """Return T tr Cov(x_T) over many walks, gamma 1."""
    steps, chance = Steps(GRAPH, alpha), np.random.default_rng(int(alpha))
    x, at, everyone = np.full((runs, 5), 0.2), chance.integers(5, size=runs), np.arange(runs)
    for n in range(1, rounds + 1):
        at = steps.move(x, at, chance.random(runs))
        x *= 1 - 1 / (n + 1)
        x[everyone, at] += 1 / (n + 1)
    return float(rounds * np.trace(np.cov(x.T)))


def theory(alpha: float) -> float:
    steps = Steps(GRAPH, alpha)
    values = np.sort(np.linalg.eigvalsh(dense(steps, steps.chances)))[:-1]
    return float(((1 + values) / (1 - values) / (2 * alpha * (1 + values) + 1)).sum() / 5)


@pytest.mark.parametrize(("alpha", "expected"), [(0, 1.040), (1, 0.305), (5, 0.083), (10, 0.044)])
def test_the_theory_of_the_spread_is_the_papers(alpha: float, expected: float) -> None:
    assert theory(alpha) == pytest.approx(expected, abs=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0, 1, 5, 10])
def test_visits_spread_as_the_theory_says(alpha: float) -> None:
    assert spread(alpha, 3000, 6000) == pytest.approx(theory(alpha), rel=0.05)


def test_the_process_is_the_walk_by_hand() -> None:
    process = Walk(topology=Edges(pairs=CHORD), alpha=2.0, gamma=1.0).process(World(3, 5))
    x, (at,) = np.full(5, 0.2), process.state(0)[1]
    for round in range(1, 200):
        (came,) = process.cohort(round)
        row = kernel(Steps(GRAPH, 2.0), x)[at]
        assert row[came] > 0
        x, at = x + (np.eye(5)[came] - x) / (round + 1), came
        np.testing.assert_allclose(process.state(round)[0], x, atol=1e-13)


@pytest.mark.parametrize("tokens", [1, 3])
def test_a_round_is_the_same_whenever_it_is_asked_for(tokens: int) -> None:
    config = Walk(topology=Regular(degree=4), tokens=tokens)
    rounds = [1, BLOCK, BLOCK + 1, 2 * BLOCK + 3, 7]
    forwards = config.process(World(5, 20))
    whole = {round: forwards.cohort(round).tolist() for round in range(1, 2 * BLOCK + 4)}
    assert all(1 <= len(cohort) <= tokens for cohort in whole.values())
    shuffled = config.process(World(5, 20))
    assert [shuffled.cohort(round).tolist() for round in rounds] == [whole[round] for round in rounds]
    assert config.process(World(5, 20)).cohort(BLOCK + 1).tolist() == whole[BLOCK + 1]


def test_a_complete_graph_is_visited_evenly_and_one_client_stays() -> None:
    process = Walk(topology=Complete(), alpha=20.0, gamma=1.0).process(World(1, 8))
    visits = np.bincount([process.cohort(round)[0] for round in range(1, 801)], minlength=8)
    assert np.abs(visits - 100).max() <= 3
    assert Walk().process(World(1, 1)).cohort(5).tolist() == [0]


WORLD: dict[str, Any] = {
    "name": "walk",
    "seed": 2,
    "rounds": 40,
    "data": {"dataset": "digits", "clients": 5},
    "model": {"name": "linear"},
    "client": {"local_steps": 1, "batch_size": 8, "lr": 0.5, "schedule": {"kind": "power", "exponent": 0.9}},
    "participation": {"kind": "walk", "topology": {"kind": "edges", "pairs": [list(pair) for pair in CHORD]}},
    "strategy": {"name": "fedavg", "normalise": "participants"},
    "evaluate": {"every": 40},
}


@pytest.mark.slow
def test_hosts_and_a_break_leave_the_bits(tmp_path: Path) -> None:
    whole = fedsim.run(WORLD | {"engine": {"kind": "serial"}}, out=tmp_path / "whole")
    fedsim.run(WORLD | {"rounds": 17, "engine": {"kind": "serial"}}, out=tmp_path / "part")
    resumed = resume(tmp_path / "part", rounds=40)
    spread_out = fedsim.run(WORLD | {"engine": {"kind": "processes", "hosts": 2}}, out=tmp_path / "hosts")
    assert whole.rounds.query("metric == 'cohort_size'")["value"].eq(1).all()
    for other in (resumed, spread_out):
        for told in ("params_sha256", "schedule_hash"):
            assert other.summary[told] == whole.summary[told]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"topology": {"kind": "fresh_regular"}}, "participation.topology.kind: a token walks on one graph"),
        ({"topology": {"kind": "regular", "degree": 9}}, "participation.topology.degree: must be below"),
        ({"topology": {"kind": "edges", "pairs": [[0, 1]]}}, "participation.topology: this edges graph falls into 4"),
        ({"topology": {"kind": "edges"}}, "participation.topology: give the edges"),
        ({"tokens": 6}, r"participation.tokens: must not exceed the number of clients \(5\)"),
        ({"gamma": 0.5}, "participation.gamma"),
    ],
)
def test_what_cannot_be_walked_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        from_dict(WORLD | {"participation": {"kind": "walk", **changes}})


def test_a_rule_that_needs_probabilities_is_refused() -> None:
    with pytest.raises(ScenarioError, match="participation of kind walk does not know it"):
        from_dict(
            WORLD | {"strategy": {"name": "fedavg", "normalise": "inverse_probability", "probabilities": "known"}}
        )
