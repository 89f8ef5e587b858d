"""Gaussian noise on the sum of clipped deltas: how much it is, that it repeats, and where it has no meaning."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm

import fedsim
from fedsim.core import Cohort, Population, ScenarioError
from fedsim.engine.experiment.accountant import epsilon
from fedsim.engine.run.run import resume
from fedsim.scenario import from_dict, scenario_hash
from fedsim.strategies.fedavg import FedAvg

D, CLIP, SIGMA = 64 * 32 + 32 + 32 * 10 + 10, 0.5, 3.0
ONE_ROUND: dict[str, Any] = {
    "name": "noise",
    "seed": 5,
    "rounds": 1,
    "data": {"dataset": "digits", "clients": 4},
    "model": {"name": "mlp", "hidden": [32]},
    "client": {"local_steps": 1, "lr": 0.1, "clip_update": CLIP},
    "participation": {"kind": "schedule", "cohorts": [[0, 1, 3]]},
}
WORLD: dict[str, Any] = {
    "name": "noise",
    "seed": 3,
    "rounds": 4,
    "data": {"dataset": "digits", "clients": 8, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "linear"},
    "client": {"local_steps": 3, "batch_size": 16, "lr": 0.2, "clip_update": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": 0.5},
    "strategy": {"name": "fedavg", "server_noise": 0.5},
    "checkpoint": {"every": 2},
}
EMPTY = {"participation": {"kind": "schedule", "cohorts": [[]]}}


def sha(run: Any) -> str:
    return str(run.summary["params_sha256"])


def end(folder: Path, strategy: dict[str, Any], **other: Any) -> npt.NDArray[np.float64]:
    run = fedsim.run({**ONE_ROUND, **other, "strategy": {"name": "fedavg", **strategy}}, out=folder)
    with np.load(run.folder / "params.npz") as params:
        return np.concatenate([params[name].astype(np.float64).ravel() for name in params])


def noise(folder: Path, strategy: dict[str, Any], **other: Any) -> npt.NDArray[np.float64]:
    """Return what the noise alone adds to the step of round 1."""
    quiet = end(folder / "quiet", strategy, **other)
    return end(folder / "noisy", {**strategy, "server_noise": SIGMA}, **other) - quiet


@pytest.mark.parametrize(
    ("strategy", "times"),
    [
        ({"normalise": "participants"}, 1 / 3),  # a sum of plain deltas over the three who came
        ({"normalise": "population"}, 1 / 4),
        ({"normalise": "inverse_probability", "probabilities": (1.0, 0.5, 0.1, 0.25)}, 10 / 4),
        ({"normalise": "population", "server_lr": 0.5}, 1 / 8),
    ],
)
def test_the_variance_of_the_step_is_that_of_the_sum_under_the_rules_scaling(
    strategy: dict[str, Any], times: float, tmp_path: Path
) -> None:
    """|noise|^2 is sigma^2 C^2 d times^2, within five standard deviations of a chi square with d degrees."""
    added = noise(tmp_path, strategy)
    assert len(added) == D
    expected = (SIGMA * CLIP * times) ** 2 * D
    assert abs(added @ added / expected - 1) < 5 * np.sqrt(2 / D)
    assert abs(added.mean()) < 5 * SIGMA * CLIP * times / np.sqrt(D)


@pytest.mark.slow
def test_the_variance_over_seeds_is_sigma_2_c_2_d(tmp_path: Path) -> None:
    added = np.stack([4 * noise(tmp_path / str(seed), {"normalise": "population"}, seed=seed) for seed in range(10)])
    total = added.var(axis=0, ddof=1).sum()
    assert abs(total / (SIGMA**2 * CLIP**2 * D) - 1) < 5 * np.sqrt(2 / (9 * D))


def test_unequal_weights_are_accounted_by_the_largest() -> None:
    weights = np.array([0.1, 0.6, 0.3])
    people = Population(np.array([1, 6, 3]), weights, np.array([0.1, 1.0, 0.5]))
    assert FedAvg(server_noise=1.0, weights="examples").largest(people) == 0.6
    inverse = FedAvg(server_noise=1.0, weights="examples", normalise="inverse_probability")
    assert inverse.largest(people) == 1.0
    # whoever is taken away moves the sum by at most its coefficient times a delta of length 1
    for rule in (FedAvg(weights="examples"), inverse):
        asked = rule.ask(rule.start(np.zeros(1, np.float32), people), Cohort(1, np.arange(3)))["update"].fresh
        assert asked.max() == rule.largest(people)


def test_the_noise_is_the_same_whoever_comes_and_another_in_every_round(tmp_path: Path) -> None:
    one = noise(tmp_path / "one", {"normalise": "population"})
    other = noise(tmp_path / "other", {"normalise": "population"}, participation={"kind": "full"})
    np.testing.assert_allclose(one, other, atol=1e-6)
    two = noise(tmp_path / "two", {"normalise": "population"}, rounds=2, **EMPTY) - one
    assert abs(np.corrcoef(one, two)[0, 1]) < 5 / np.sqrt(D)


def test_a_round_without_anybody_has_the_noise_too_unless_it_divides_by_who_came(tmp_path: Path) -> None:
    shrunk = noise(tmp_path / "population", {"normalise": "population"}, **EMPTY)
    np.testing.assert_allclose(shrunk, noise(tmp_path / "met", {"normalise": "population"}), atol=1e-6)
    assert not noise(tmp_path / "participants", {"normalise": "participants"}, **EMPTY).any()


def test_a_resumed_run_ends_with_the_bits_of_the_whole(tmp_path: Path) -> None:
    fedsim.run(WORLD, out=tmp_path / "parts", rounds=2)
    whole = fedsim.run(WORLD, out=tmp_path / "whole")
    assert sha(resume(tmp_path / "parts", rounds=4)) == sha(whole)
    quiet = {**WORLD, "strategy": {"name": "fedavg"}}
    assert sha(fedsim.run(quiet, out=tmp_path / "quiet")) != sha(whole)


@pytest.mark.slow
def test_processes_end_with_the_bits_of_the_serial_run(tmp_path: Path) -> None:
    hosts = {**WORLD, "engine": {"kind": "processes", "hosts": 2}}
    assert sha(fedsim.run(hosts, out=tmp_path / "hosts")) == sha(fedsim.run(WORLD, out=tmp_path / "serial"))


def test_a_rule_derived_from_fedavg_has_no_noise(tmp_path: Path) -> None:
    text = "from fedsim.strategies.fedavg import FedAvg\n\n\nclass Twice(FedAvg):\n    pass\n"
    (tmp_path / "twice.py").write_text(text)
    strategy = {"name": f"{tmp_path / 'twice.py'}:Twice", "server_noise": 1.0}
    with pytest.raises(ScenarioError, match=r"strategy\.server_noise: is measured by FedAvg's own sum"):
        from_dict({**WORLD, "strategy": strategy})


def test_no_noise_is_no_part_of_a_run() -> None:
    silent = {**WORLD, "strategy": {"name": "fedavg", "server_noise": 0.0}}
    plain = {**WORLD, "strategy": {"name": "fedavg"}}
    assert scenario_hash(from_dict(silent)) == scenario_hash(from_dict(plain)) != scenario_hash(from_dict(WORLD))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"client": {"lr": 0.1}}, r"strategy\.server_noise: is a multiple of client\.clip_update"),
        ({"uplink": {"codec": "topk", "k": 0.1}}, r"what is decoded of an uplink may be longer"),
        ({"probe": {"every": 2}}, r"without the server's noise"),
        ({"strategy": {"name": "gossip", "server_noise": 1.0}}, r"strategy\.server_noise: .*option of fedavg"),
        ({"strategy": {"name": "mifa", "server_noise": 1.0}}, r"strategy\.server_noise: .*option of fedavg"),
        (
            {"strategy": {"name": "fedavg", "server_noise": 1.0, "correction": {"name": "scaffold"}}},
            r"a correction has clients start elsewhere or send more",
        ),
        (
            {
                "strategy": {
                    "name": "fedavg",
                    "server_noise": 1.0,
                    "normalise": "inverse_probability",
                    "probabilities": "estimated",
                }
            },
            r"an estimate does not bound",
        ),
        (
            {"client": {"lr": 0.1}, "strategy": {"name": "fedavg"}, "compare": [WORLD["strategy"]]},
            r"compare\.0\.server_noise: is a multiple of client\.clip_update",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        from_dict({**WORLD, **changes})


COINS = {"kind": "bernoulli", "probabilities": 0.5}
FIXED = {"kind": "uniform", "size": 4}
PRIVATE = {"name": "fedavg", "normalise": "population", "server_noise": 4.0, "dp_delta": 1e-3}


@pytest.mark.parametrize(
    ("sampling", "share", "ratio", "rounds", "delta", "expected"),
    [
        # what dp-accounting 0.6.0's RdpAccountant gives at the same orders
        ("poisson", 0.1, 1.0, 100, 1e-5, 7.972921510380539),
        ("poisson", 0.5, 4.0, 40, 1e-3, 2.7805054809052265),
        ("poisson", 0.01, 0.8, 1000, 1e-6, 4.300886494496127),
        ("poisson", 1.0, 3.0, 10, 1e-5, 5.0305061145976),
        ("fixed size", 0.1, 2.0, 100, 1e-5, 5.3790096960759),
        ("fixed size", 0.2, 4.0, 40, 1e-3, 2.1497176276332546),
        ("fixed size", 0.01, 1.0, 1000, 1e-6, 4.0212080917779724),
        ("fixed size", 0.5, 0.7, 3, 1e-5, 12.062533184789238),
        ("fixed size", 1.0, 3.0, 10, 1e-5, 5.0305061145976),
    ],
)
def test_epsilon_is_that_of_the_reference(
    sampling: Any, share: float, ratio: float, rounds: int, delta: float, expected: float
) -> None:
    assert epsilon(sampling, share, ratio, rounds, delta) == pytest.approx(expected, rel=1e-9)


def test_a_plain_gaussian_is_bounded_by_its_exact_epsilon() -> None:
    """Delta of one Gaussian sum is Phi(1/2s - e s) - exp(e) Phi(-1/2s - e s) (Balle and Wang 2018), never more."""
    for ratio in (0.5, 1.0, 5.0):
        told = epsilon("poisson", 1.0, ratio, 1, 1e-5)
        exact = norm.cdf(0.5 / ratio - told * ratio) - np.exp(told) * norm.cdf(-0.5 / ratio - told * ratio)
        assert 1e-7 < exact <= 1e-5


@pytest.mark.parametrize(("participation", "sampling", "ratio"), [(COINS, "poisson", 4.0), (FIXED, "fixed size", 2.0)])
def test_epsilon_is_told_at_each_evaluation(
    participation: dict[str, Any], sampling: Any, ratio: float, tmp_path: Path
) -> None:
    told = {**WORLD, "participation": participation, "strategy": PRIVATE, "evaluate": {"every": 2}}
    run = fedsim.run(told, out=tmp_path / "told")
    with (run.folder / "rounds.csv").open() as file:
        rows = {int(row["round"]): row["dp_epsilon"] for row in csv.DictReader(file)}
    for round in (2, 4):
        assert float(rows[round]) == pytest.approx(epsilon(sampling, 0.5, ratio, round, 1e-3), rel=1e-4)
    assert rows[1] == rows[3] == ""
    silent = {key: value for key, value in PRIVATE.items() if key != "dp_delta"}
    assert sha(fedsim.run({**told, "strategy": silent}, out=tmp_path / "silent")) == sha(run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"strategy": {**PRIVATE, "server_noise": 0.0}},
            r"strategy\.dp_delta: epsilon is told of server_noise from 0\.1",
        ),
        ({"strategy": {**PRIVATE, "normalise": "participants"}}, r"divides by how many came"),
        (
            {"strategy": {**PRIVATE, "normalise": "participants", "weights": "examples"}, "participation": FIXED},
            r"divided by the weight of who came",
        ),
        ({"participation": {"kind": "full"}}, r"epsilon is known for .*; got full"),
        ({"participation": {"kind": "bernoulli", "probabilities": [0.5] * 7 + [0.4]}}, r"here they differ"),
        ({"participation": {**COINS, "select": {"size": 2}}}, r"neither modulated nor selected from"),
        ({"on_client_error": "drop"}, r"where all who are sampled deliver"),
        (
            {"strategy": {"name": "fedavg"}, "compare": [PRIVATE], "participation": {"kind": "full"}},
            r"compare\.0\.dp_delta: epsilon is known",
        ),
    ],
)
def test_epsilon_that_is_not_known_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        from_dict({**WORLD, "strategy": PRIVATE, **changes})
    from_dict({**WORLD, "strategy": PRIVATE})
