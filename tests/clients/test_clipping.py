"""What one client can do to a sum is bounded, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.clients.clipping import shorten
from fedsim.clients.own_evaluation import personal_work
from fedsim.clients.training import Trainer
from fedsim.core import LocalWork, ScenarioError
from fedsim.data import QuadraticData
from fedsim.engine.run.run import resume
from fedsim.models.point import Point
from fedsim.scenario import from_dict, scenario_hash
from tests.clients.fakes import collect, ragged
from tests.models.own import Normalised

WORLD: dict[str, Any] = {
    "name": "clipped",
    "seed": 3,
    "rounds": 4,
    "data": {"dataset": "digits", "clients": 8, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "mlp", "hidden": [8]},
    "client": {"local_steps": 3, "batch_size": 16, "lr": 0.2},
    "participation": {"kind": "bernoulli", "probabilities": {"law": "uniform", "low": 0.4, "high": 0.9}},
    "checkpoint": {"every": 2},
}
CLIPPED = {**WORLD, "client": {**WORLD["client"], "clip_update": 0.05}}


def sha(run: Any) -> str:
    return str(run.summary["params_sha256"])


def test_no_row_is_longer_than_the_bound_and_short_ones_keep_their_bits() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(400, 37)) * rng.lognormal(sigma=3, size=(400, 1))).astype(np.float32)
    before = rows.copy()
    shorten(rows, 0.7)
    was, now = (np.linalg.norm(one.astype(np.float64), axis=1) for one in (before, rows))
    assert 0 < (was <= 0.7).sum() < 400
    np.testing.assert_array_equal(rows[was <= 0.7], before[was <= 0.7])
    assert (now <= 0.7).all()
    np.testing.assert_allclose(now[was > 0.7], 0.7, rtol=1e-6)
    np.testing.assert_allclose(rows, before * np.minimum(1, 0.7 / was)[:, None], rtol=1e-6)


def test_what_is_not_finite_stays_to_be_told() -> None:
    rows = np.array([[np.nan, 9.0], [np.inf, 1.0], [6.0, 8.0]], np.float32)
    shorten(rows, 1.0)
    np.testing.assert_array_equal(rows[:2], np.array([[np.nan, 9.0], [np.inf, 1.0]], np.float32))
    np.testing.assert_allclose(rows[2], [0.6, 0.8], rtol=1e-6)


def test_the_whole_update_is_clipped_not_each_step() -> None:
    # after two steps of rate 1/2 from 0 a client is 3/4 of the way to its center: (2.25, 3) and (-.3, 0)
    data = QuadraticData(np.array([[3.0, 4.0], [-0.4, 0.0]]), np.array([1.0, 1.0]), 0.0)
    work = LocalWork(lr=0.5, local_steps=2, clip_update=2.5)
    deltas = collect(Trainer(Point(init=(0.0, 0.0)), work, data, seed=1), np.arange(2)).deltas
    np.testing.assert_allclose(deltas, [[1.5, 2.0], [-0.3, 0.0]], rtol=1e-6)


def test_one_client_moves_the_sum_by_no_more_than_the_bound() -> None:
    """With and without client 1, whose center may be anywhere; the others send the same bits."""
    for far in (0.5, 30.0, 1e6):
        data = QuadraticData(np.array([[3.0, 4.0], [far, -far], [0.1, 0.2]]), np.ones(3), 0.0)
        trainer = Trainer(Point(init=(0.0, 0.0)), LocalWork(lr=0.5, local_steps=2, clip_update=1.0), data, seed=1)
        whole = collect(trainer, np.arange(3)).deltas.copy()
        others = collect(trainer, np.array([0, 2])).deltas
        np.testing.assert_array_equal(whole[[0, 2]], others)
        moved = whole.sum(axis=0, dtype=np.float64) - others.sum(axis=0, dtype=np.float64)
        assert np.linalg.norm(moved) <= 1.0 + 1e-12


def test_a_bound_that_nobody_reaches_changes_no_bit_and_a_tight_one_does(tmp_path: Path) -> None:
    loose = {**WORLD, "client": {**WORLD["client"], "clip_update": 1e6}}
    free, wide, tight = (
        fedsim.run(one, out=tmp_path / name) for name, one in (("free", WORLD), ("wide", loose), ("tight", CLIPPED))
    )
    assert sha(free) == sha(wide) != sha(tight)


def test_nodes_that_share_a_stream_clip_as_if_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = fedsim.run(CLIPPED, out=tmp_path / "shared")
    monkeypatch.setattr("fedsim.clients.kernels.stream.spans", lambda kernel: False)
    assert sha(fedsim.run(CLIPPED, out=tmp_path / "alone")) == sha(shared)


def test_a_resumed_run_ends_with_the_bits_of_the_whole(tmp_path: Path) -> None:
    fedsim.run(CLIPPED, out=tmp_path / "parts", rounds=2)
    whole = fedsim.run(CLIPPED, out=tmp_path / "whole")
    assert sha(resume(tmp_path / "parts", rounds=4)) == sha(whole)


@pytest.mark.slow
def test_processes_end_with_the_bits_of_the_serial_run(tmp_path: Path) -> None:
    hosts = {**CLIPPED, "engine": {"kind": "processes", "hosts": 2}}
    assert sha(fedsim.run(hosts, out=tmp_path / "hosts")) == sha(fedsim.run(CLIPPED, out=tmp_path / "serial"))


def test_a_personal_model_is_not_sent_and_not_clipped() -> None:
    assert personal_work(LocalWork(clip_update=1.0), 2).clip_update is None


def test_gossip_is_refused_and_the_default_is_no_part_of_a_run() -> None:
    with pytest.raises(ScenarioError, match="in gossip clients send models"):
        from_dict({**CLIPPED, "strategy": {"name": "gossip", "topology": {"kind": "ring"}}})
    null = {**WORLD, "client": {**WORLD["client"], "clip_update": None}}
    assert scenario_hash(from_dict(null)) == scenario_hash(from_dict(WORLD)) != scenario_hash(from_dict(CLIPPED))


def test_buffers_that_travel_are_refused_and_others_are_not() -> None:
    def trainer(buffers: Any) -> Trainer:
        return Trainer(Normalised(buffers=buffers), LocalWork(clip_update=1.0), ragged((4, 4)), seed=1)

    with pytest.raises(ScenarioError, match=r"client\.clip_update: the model's buffers travel too"):
        trainer("average")
    assert trainer("local").layout.buffers.local
    assert trainer("frozen").layout.buffers.size == 0
