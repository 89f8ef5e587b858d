"""Flower's own strategies, unchanged, on these grids: one client per node, this world's participation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import ScenarioError

N = 8
WORLD: dict[str, Any] = {
    "name": "stock",
    "seed": 5,
    "rounds": 5,
    "data": {"dataset": "digits", "clients": N, "partition": {"kind": "iid"}},
    "model": {"name": "linear"},
    "client": {"local_steps": 2, "batch_size": 16, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": 0.6},
    "evaluate": {"every": 5},
    "engine": {"kind": "serial", "nodes": N},
}
ADAM = {"name": "stock", "flower": "FedAdam", "options": {"eta": 0.05}}
KRUM = {"name": "stock", "flower": "Krum", "options": {"num_malicious_nodes": 1}}


@pytest.mark.ray
@pytest.mark.parametrize("strategy", [ADAM, KRUM], ids=["fedadam", "krum"])
def test_a_stock_strategy_gives_the_same_bits_on_ray(strategy: Any, cluster: str, tmp_path: Path) -> None:
    scenario = WORLD | {"strategy": strategy}
    serial = fedsim.run(scenario, out=tmp_path / "serial")
    engine = {"kind": "ray", "nodes": N, "hosts": 2, "address": cluster}
    ray = fedsim.run(scenario | {"engine": engine}, out=tmp_path / "ray")
    assert serial.summary["params_sha256"] == ray.summary["params_sha256"]
    assert serial.summary["rounds"] == WORLD["rounds"]


def test_stock_fedavg_averages_by_examples_as_our_own_does(tmp_path: Path) -> None:
    stock = fedsim.run(WORLD | {"strategy": {"name": "stock", "flower": "FedAvg"}}, out=tmp_path / "stock")
    own = fedsim.run(WORLD | {"strategy": {"name": "fedavg", "weights": "examples"}}, out=tmp_path / "own")
    assert stock.summary["schedule_hash"] == own.summary["schedule_hash"]
    with np.load(tmp_path / "stock" / "params.npz") as one, np.load(tmp_path / "own" / "params.npz") as other:
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=0, atol=1e-6)


def test_a_stock_strategy_repeats_itself(tmp_path: Path) -> None:
    half = {"name": "stock", "flower": "FedAvg", "options": {"fraction_train": 0.5}}  # draws from the global generator
    shas = {fedsim.run(WORLD | {"strategy": half}, out=tmp_path / k).summary["params_sha256"] for k in "ab"}
    assert len(shas) == 1


def test_a_round_with_too_few_clients_for_a_stock_strategy_is_empty(tmp_path: Path) -> None:
    wants_three = {"name": "stock", "flower": "FedAvg", "options": {"min_available_nodes": 3}}
    cohorts = {"kind": "schedule", "cohorts": [[0, 1], [], [0, 1, 2, 3]]}
    run = fedsim.run(WORLD | {"strategy": wants_three, "participation": cohorts, "rounds": 3}, out=tmp_path / "run")
    sizes = run.rounds.query("metric == 'cohort_size'").sort_values("round").value.tolist()
    assert sizes == [0.0, 0.0, 4.0]


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ({"name": "stock", "flower": "FedNone"}, "Flower has no strategy 'FedNone'; it has .*FedAdam"),
        ({"name": "stock", "flower": "FedAdam", "options": {"etta": 1.0}}, "FedAdam refuses them: .*etta"),
    ],
)
def test_what_flower_does_not_have_is_refused_by_name(strategy: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=said):
        fedsim.run(WORLD | {"strategy": strategy}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_stock_strategy_needs_one_client_per_node(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="one client per node: write nodes: 8, got 4"):
        fedsim.run(WORLD | {"strategy": ADAM, "engine": {"kind": "serial", "nodes": 4}}, out=tmp_path / "run")
