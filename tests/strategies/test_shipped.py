"""The 18 strategies that ship with Flower: each runs with its own meaning, or is refused by name with the reason."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import ScenarioError
from fedsim.strategies.flower import shipped

N = 8
WORLD: dict[str, Any] = {
    "name": "shipped",
    "seed": 5,
    "rounds": 3,
    "data": {"dataset": "digits", "clients": N, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "linear"},
    "client": {"local_steps": 4, "batch_size": 16, "lr": 0.1},
    "evaluate": {"every": 3},
    "engine": {"kind": "serial", "nodes": N},
}
FIXED = {"noise_multiplier": 0.0, "clipping_norm": 1e9, "num_sampled_clients": N}
ADAPTIVE = {"noise_multiplier": 0.0, "initial_clipping_norm": 1e9, "num_sampled_clients": N}
OPTIONS: dict[str, dict[str, Any]] = {
    "Bulyan": {"num_malicious_nodes": 1},
    "DifferentialPrivacyClientSideAdaptiveClipping": ADAPTIVE,
    "DifferentialPrivacyClientSideFixedClipping": FIXED,
    "DifferentialPrivacyServerSideAdaptiveClipping": ADAPTIVE,
    "DifferentialPrivacyServerSideFixedClipping": FIXED,
    "FedAdagrad": {"eta": 0.05},
    "FedAdam": {"eta": 0.05},
    "FedAvg": {},
    "FedAvgM": {"server_momentum": 0.9},
    "FedMedian": {},
    "FedProx": {"proximal_mu": 0.1},
    "FedTrimmedAvg": {"beta": 0.3},
    "FedYogi": {"eta": 0.05},
    "Krum": {"num_malicious_nodes": 1},
    "MultiKrum": {"num_malicious_nodes": 1, "num_nodes_to_select": 3},
    "QFedAvg": {"client_learning_rate": 0.1},
}
REFUSED = {"FedXgbBagging", "FedXgbCyclic"}
WRAPPERS = [name for name in OPTIONS if name.startswith("DifferentialPrivacy")]
ALL = [
    "FedAdagrad",
    "FedAdam",
    "FedAvgM",
    "FedMedian",
    "FedTrimmedAvg",
    "FedYogi",
    "Bulyan",
    "Krum",
    "MultiKrum",
    "QFedAvg",
]


def params(out: Path, strategy: dict[str, Any], **changes: Any) -> np.ndarray[Any, Any]:
    fedsim.run(WORLD | {"strategy": strategy} | changes, out=out)
    with np.load(out / "params.npz") as found:
        return np.concatenate([found[name].ravel() for name in sorted(found)])


def stock(name: str, inner: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    made = {"name": "stock", "flower": name, "options": {**OPTIONS[name], **options}}
    return made if inner is None else made | {"inner": inner}


def test_the_table_names_every_strategy_that_ships_with_flower() -> None:
    assert sorted({*OPTIONS, *REFUSED}) == shipped.names()
    assert len(shipped.names()) == 18


@pytest.fixture(scope="module")
def fedavg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[np.ndarray[Any, Any]]:
    found = params(tmp_path_factory.mktemp("fedavg") / "run", stock("FedAvg"))
    gc.freeze()  # Flower collects garbage at every array, and would go through all that is imported
    yield found
    gc.unfreeze()


@pytest.mark.parametrize("name", ALL)
def test_a_strategy_with_its_own_arithmetic_differs_from_fedavg(
    name: str, fedavg: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    own = params(tmp_path / "run", stock(name))
    assert np.isfinite(own).all()
    assert np.abs(own - fedavg).max() > 1e-4


def test_fedprox_is_our_fedavg_with_a_proximal_term_at_the_clients(
    fedavg: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    strong = params(tmp_path / "strong", stock("FedProx", proximal_mu=2.0))
    none = params(tmp_path / "none", stock("FedProx", proximal_mu=0.0))
    client = {**WORLD["client"], "proximal_mu": 2.0}
    own = params(tmp_path / "own", {"name": "fedavg", "weights": "examples"}, client=client)
    np.testing.assert_allclose(strong, own, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(none, fedavg)
    assert np.abs(strong - none).max() > 1e-3


@pytest.mark.ray
def test_the_proximal_term_is_the_same_on_ray(cluster: str, tmp_path: Path) -> None:
    engine = {"kind": "ray", "nodes": N, "hosts": 2, "address": cluster}
    serial, ray = params(tmp_path / "one", stock("FedProx")), params(tmp_path / "ray", stock("FedProx"), engine=engine)
    np.testing.assert_array_equal(serial, ray)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_without_noise_and_clipping_is_the_strategy_inside(
    name: str, fedavg: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    np.testing.assert_allclose(params(tmp_path / "avg", stock(name)), fedavg, rtol=0, atol=1e-6)
    inside = params(tmp_path / "median", stock(name, {"flower": "FedMedian"}))
    np.testing.assert_allclose(inside, params(tmp_path / "own", stock("FedMedian")), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_clips_what_clients_send(name: str, tmp_path: Path) -> None:
    norm = "initial_clipping_norm" if "Adaptive" in name else "clipping_norm"
    start = params(tmp_path / "start", stock("FedAvg"), rounds=1, client={**WORLD["client"], "lr": 0.0})
    moved = params(tmp_path / "run", stock(name, **{norm: 0.01}), rounds=1)
    assert 0.0 < np.linalg.norm(moved - start) <= 0.01 + 1e-6


@pytest.mark.parametrize("side", ["Client", "Server"])
@pytest.mark.parametrize("kind", ["Fixed", "Adaptive"])
def test_clipping_is_the_same_at_clients_and_server(kind: str, side: str, tmp_path: Path) -> None:
    norm = "initial_clipping_norm" if kind == "Adaptive" else "clipping_norm"
    name, other = (f"DifferentialPrivacy{place}Side{kind}Clipping" for place in (side, "Server"))
    here, there = (
        params(tmp_path / "a", stock(name, **{norm: 0.05})),
        params(tmp_path / "b", stock(other, **{norm: 0.05})),
    )
    np.testing.assert_allclose(here, there, rtol=0, atol=1e-6)


def test_noise_for_privacy_repeats_and_moves_the_result(fedavg: np.ndarray[Any, Any], tmp_path: Path) -> None:
    noisy = stock("DifferentialPrivacyServerSideFixedClipping", noise_multiplier=0.5, clipping_norm=1.0)
    first, again = (params(tmp_path / run, noisy) for run in "ab")
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - fedavg).max() > 1e-2


def test_a_wrapper_carries_fedprox_to_the_clients(tmp_path: Path) -> None:
    inner = {"flower": "FedProx", "options": {"proximal_mu": 2.0}}
    wrapped = params(tmp_path / "in", stock("DifferentialPrivacyClientSideFixedClipping", inner))
    alone = params(tmp_path / "alone", stock("FedProx", proximal_mu=2.0))
    np.testing.assert_allclose(wrapped, alone, rtol=0, atol=1e-6)


def refused(strategy: dict[str, Any], **changes: Any) -> list[str]:
    with pytest.raises(ScenarioError) as error:
        fedsim.scenario.from_dict(WORLD | {"strategy": strategy} | changes)
    return [f"{problem.key}: {problem.message}" for problem in error.value.problems]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_strategies_for_trees_are_refused_by_name_before_anything_starts(name: str) -> None:
    (said,) = refused({"name": "stock", "flower": name})
    assert said.startswith(f"strategy.flower: {name} puts together trees of XGBoost, and clients here send")


DP = "DifferentialPrivacyServerSideFixedClipping"


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ({"flower": DP}, f"strategy.options: {DP} needs noise_multiplier, clipping_norm, num_sampled_clients"),
        ({"flower": "QFedAvg"}, "strategy.options: QFedAvg needs client_learning_rate"),
        ({"flower": "FedAdam", "options": {"eta": "much"}}, "FedAdam refuses them: eta must be a number, got 'much'"),
        ({"flower": "FedTrimmedAvg", "options": {"beta": 0.7}}, "refuses them: `beta` must be in the range [0, 0.5)"),
        ({"flower": "Krum", "options": {"accountant": 1}}, "Krum refuses them: it has no 'accountant'"),
        ({"flower": "Bulyan", "options": {"selection_rule": "x"}}, "selection_rule is no value that a scenario could"),
        ({"flower": DP, "options": {**FIXED, "strategy": "FedAvg"}}, "is written as `inner: {flower: ...}`"),
        ({"flower": DP, "options": FIXED, "inner": {"flower": "FedXgbCyclic"}}, "inner.flower: FedXgbCyclic puts"),
        ({"flower": DP, "options": FIXED, "inner": {"flower": DP, "options": FIXED}}, "is a wrapper itself"),
        ({"flower": "FedAvg", "inner": {"flower": "FedAvg"}}, "strategy.inner: FedAvg has no other strategy inside"),
    ],
)
def test_what_a_strategy_cannot_take_is_said_at_validation(strategy: dict[str, Any], said: str) -> None:
    (told,) = refused({"name": "stock", **strategy})
    assert said in told


def test_two_different_proximal_terms_are_refused() -> None:
    (told,) = refused(stock("FedProx"), client={**WORLD["client"], "proximal_mu": 0.5})
    assert told.startswith("client.proximal_mu: FedProx sends clients its own, 0.1; write strategy.options.proximal_mu")
