"""Losses and metrics of the user's own: by reference, with options; what is wrong with them is told at their place."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import ScenarioError
from fedsim.core.errors import FedsimError
from fedsim.scenario import from_dict, scenario_hash

OWN = '''
import torch

def squared(output, y, half: bool = False):
    """Squared error by hand."""
    return (output.squeeze(-1) - y) ** 2 * (0.5 if half else 1.0)

def naive(output, y):
    return (output - y) ** 2

def broadcast(output, y):
    return ((output - y) ** 2).mean(1)

def scalar(output, y):
    return ((output.squeeze(-1) - y) ** 2).mean()

def raising(output, y):
    return torch.zeros(3)[5]

def within(output, y, by: float = 1.0):
    """Share of predictions that are off by less."""
    return ((output - y).abs() < by).float()

within.better = "higher"

class Bias:
    better = "lower"
    unit = "1"

    def measure(self, output, y):
        return (output - y).sum(), len(y)

    def value(self, whole):
        return whole[0] / whole[1]
'''


@pytest.fixture
def scenario(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "own.py").write_text(OWN)
    stream = np.random.default_rng(1)
    x = stream.standard_normal((60, 3))
    y = x @ np.array([1.0, -2.0, 0.5]) + 0.1 * stream.standard_normal(60)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    return {
        "name": "own",
        "rounds": 6,
        "folder": str(tmp_path),
        "data": {"dataset": "npz", "path": "d.npz", "clients": 4},
        "model": {"name": "linear-regression"},
        "client": {"lr": 0.1, "lane": 1, "batch_size": 8},
        "evaluate": {"every": 3},
    }


def ended(scenario: dict[str, Any], out: Path, **task: Any) -> dict[str, float]:
    run = fedsim.run(scenario | {"task": task}, out=out)
    with (out / "rounds.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    return {name: float(value) for name, value in last.items() if value} | {"params": run.summary["params_sha256"]}


def test_a_loss_by_reference_is_the_shipped_one(scenario: dict[str, Any], tmp_path: Path) -> None:
    shipped, own, half = (
        ended(scenario, tmp_path / str(k), loss=loss)
        for k, loss in enumerate(["mse", "./own.py:squared", {"kind": "./own.py:squared", "half": True}])
    )
    for name in ("test_loss", "test_mse", "test_mae", "test_r2"):
        assert own[name] == pytest.approx(shipped[name], rel=1e-5)
    assert half["test_loss"] == pytest.approx(half["test_mse"] / 2, rel=1e-5)
    assert half["test_mse"] != own["test_mse"]


def test_numbers_one_each_are_not_broadcast(scenario: dict[str, Any], tmp_path: Path) -> None:
    shipped, naive = (ended(scenario, tmp_path / loss[-5:], loss=loss) for loss in ("mse", "./own.py:naive"))
    assert naive["test_mse"] == pytest.approx(shipped["test_mse"], rel=1e-5)


def test_metrics_by_reference_add_up_over_batches_and_clients_of_torchmetrics_too(
    scenario: dict[str, Any], tmp_path: Path
) -> None:
    own = {"kind": "./own.py:within", "by": 0.5}
    found = ended(
        scenario,
        tmp_path / "run",
        metrics=["r2", own, "./own.py:Bias", "torchmetrics:R2Score", "torchmetrics:MeanSquaredError"],
    )
    assert found["test_r2_score"] == pytest.approx(found["test_r2"], rel=1e-5)
    assert found["test_mean_squared_error"] == pytest.approx(found["test_loss"], rel=1e-5)
    assert 0 <= found["test_within"] <= 1
    assert np.isfinite(found["test_bias"])
    assert fedsim.metrics.higher_is_better("test_within")
    assert not fedsim.metrics.higher_is_better("test_bias")


def test_metrics_are_no_part_of_what_a_run_is_and_a_loss_is(scenario: dict[str, Any], tmp_path: Path) -> None:
    plain, metric, loss = (
        scenario_hash(from_dict(scenario | {"task": task}))
        for task in (None, {"metrics": ["./own.py:Bias"]}, {"loss": "./own.py:squared"})
    )
    assert plain == metric != loss
    (tmp_path / "own.py").write_text(OWN + "\n# changed\n")
    changed = [
        scenario_hash(from_dict(scenario | {"task": {name: value}}))
        for name, value in (("metrics", ["./own.py:Bias"]), ("loss", "./own.py:squared"))
    ]
    assert changed[0] == metric
    assert changed[1] != loss


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"loss": "./own.py:sqared"}, "task.loss.kind: .*own.py has no 'sqared'; did you mean 'squared'"),
        ({"loss": {"kind": "./own.py:squared", "haf": True}}, "task.loss.haf: unknown key; did you mean 'half'"),
        ({"loss": {"kind": "./own.py:squared", "half": 3}}, "task.loss.half: must be true or false"),
        ({"loss": "./own.py:broadcast"}, "an example's loss depends on the others of its batch"),
        ({"loss": "./own.py:scalar"}, r"own.py:\d+: must give one value per example, shape \(2,\); got a tensor"),
        ({"loss": "./own.py:raising"}, r"own.py:\d+: IndexError"),
        ({"metrics": ["./own.py:Nothing"]}, "task.metrics.0.kind: .* has no 'Nothing'"),
        ({"metrics": ["./own.py:raising"]}, r"own.py:\d+: IndexError"),
        ({"metrics": ["mse", "mse"]}, "task.metrics.1: mse is there twice"),
        ({"metrics": ["accuracy"]}, "task.metrics.0: accuracy is for classes or yes or no, and mse learns numbers"),
    ],
)
def test_what_is_wrong_is_told(scenario: dict[str, Any], tmp_path: Path, task: dict[str, Any], told: str) -> None:
    with pytest.raises(FedsimError, match=told):
        fedsim.run(scenario | {"task": task}, out=tmp_path / "run")


def test_a_goal_is_among_what_is_measured(scenario: dict[str, Any]) -> None:
    stop = {"stop": {"metric": "test_r2", "target": 0.5}}
    from_dict(scenario | stop)
    with pytest.raises(ScenarioError, match=r"stop.metric: test_r2 is not among task.metrics"):
        from_dict(scenario | stop | {"task": {"metrics": ["mse"]}})
    with pytest.raises(ScenarioError, match=r"stop.target: test_r2 is never above 1: it never reaches 2"):
        from_dict(scenario | {"stop": {"metric": "test_r2", "target": 2}})
    from_dict(scenario | {"stop": {"metric": "test_within", "target": 0.5}, "task": {"metrics": ["./own.py:within"]}})
