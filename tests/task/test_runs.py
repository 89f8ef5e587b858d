"""Whole runs: a regression on a CSV against scikit-learn, several labels at once, the next character of a text."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error, r2_score

import fedsim
from fedsim.scenario import from_dict

pytestmark = pytest.mark.slow

POEM = "the rain in spain stays mainly in the plain. " * 60


def last(run: Path) -> dict[str, str]:
    with (run / "rounds.csv").open() as file:
        return list(csv.DictReader(file))[-1]


@pytest.fixture
def regression(tmp_path: Path) -> dict[str, Any]:
    load_diabetes(as_frame=True).frame.to_csv(tmp_path / "diabetes.csv", index=False)
    return {
        "name": "diabetes",
        "seed": 2,
        "rounds": 30,
        "folder": str(tmp_path),
        "data": {"dataset": "table", "path": "diabetes.csv", "label": "target", "clients": 8, "normalise": "channel"},
        "model": {"name": "linear-regression"},
        "client": {"lr": 0.05, "local_epochs": 2, "batch_size": 16},
        "evaluate": {"every": 10},
    }


def test_a_regression_on_a_table_ends_with_what_sklearn_says_of_its_parameters(
    regression: dict[str, Any], tmp_path: Path
) -> None:
    run = fedsim.run(regression, out=tmp_path / "run")
    told = last(tmp_path / "run")
    data = from_dict(regression).data.load(2, str(tmp_path))
    params = np.load(tmp_path / "run" / "params.npz")
    weight, bias = params["layers.0.weight"][0], params["layers.0.bias"][0]
    predicted = data.test.x.astype(np.float64) @ weight + bias
    assert float(told["test_mse"]) == pytest.approx(mean_squared_error(data.test.y, predicted), rel=1e-4)
    assert float(told["test_r2"]) == pytest.approx(r2_score(data.test.y, predicted), rel=1e-3)
    assert run.final["test_r2"] == float(told["test_r2"])
    train = data.rows(np.repeat(np.arange(8), 44), np.tile(np.arange(44), 8)[:, None])
    best = LinearRegression().fit(train.x[:, 0], train.y[:, 0])
    assert float(told["test_mse"]) < 1.1 * mean_squared_error(data.test.y, best.predict(data.test.x))


def test_a_regression_resumes_with_the_same_bits(regression: dict[str, Any], tmp_path: Path) -> None:
    whole = fedsim.run(regression | {"rounds": 4}, out=tmp_path / "whole")
    half = fedsim.run(regression | {"rounds": 2, "checkpoint": {"every": 2}}, out=tmp_path / "half")
    assert half.summary["params_sha256"] != whole.summary["params_sha256"]
    resumed = fedsim.resume(tmp_path / "half", rounds=4)
    assert resumed.summary["params_sha256"] == whole.summary["params_sha256"]
    assert last(tmp_path / "half")["test_mse"] == last(tmp_path / "whole")["test_mse"]


def test_a_comparison_takes_metrics_of_the_task(regression: dict[str, Any], tmp_path: Path) -> None:
    rules = [{"name": "fedavg"}, {"name": "mifa"}]
    away = {"participation": {"kind": "bernoulli", "probabilities": 0.6}}
    found = fedsim.compare(
        regression | away | {"rounds": 4, "compare": rules}, seeds=2, out=tmp_path / "both", target="test_mse=4000"
    )
    assert {"test_mse", "test_r2"} <= {name.removesuffix("_mean") for name in found.table.columns}


@pytest.mark.parametrize("lane", [1, 3])
def test_several_labels_at_once_are_learnt_by_bce(lane: int, tmp_path: Path) -> None:
    stream = np.random.default_rng(3)
    x = stream.standard_normal((300, 6)).astype(np.float32)
    y = (x @ stream.standard_normal((6, 4)) > 0).astype(np.int64)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    scenario = {
        "name": "labels",
        "rounds": 8,
        "folder": str(tmp_path),
        "data": {"dataset": "npz", "path": "d.npz", "clients": 5},
        "model": {"name": "mlp", "hidden": [16]},
        "client": {"lr": 0.5, "local_epochs": 3, "lane": lane},
        "task": {"loss": "bce", "metrics": ["accuracy", "f1", "auroc"]},
    }
    run = fedsim.run(scenario, out=tmp_path / "run")
    assert run.final["test_accuracy"] > 0.85
    assert run.final["test_f1"] > 0.8
    assert run.final["test_auroc"] > 0.9


@pytest.mark.parametrize("model", [{"name": "embedding-gru", "hidden": 24}, {"name": "transformer-tiny", "width": 16}])
def test_the_next_character_of_a_text_is_learnt(model: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "poem.txt").write_text(POEM)
    scenario = {
        "name": "poem",
        "rounds": 6,
        "folder": str(tmp_path),
        "data": {"dataset": "text", "path": "poem.txt", "window": 12, "clients": 3},
        "model": model,
        "client": {"optimizer": "adam", "lr": 0.02, "batch_size": 16},
        "evaluate": {"every": 1},
    }
    run = fedsim.run(scenario, out=tmp_path / "run")
    perplexity = run.rounds.query("metric == 'test_perplexity'")["value"].tolist()
    assert perplexity[-1] < 0.5 * perplexity[0]
    assert run.final["test_perplexity"] == pytest.approx(np.exp(run.final["test_loss"]), rel=1e-5)
    assert run.final["test_accuracy"] > 2 / 16
    again = fedsim.run(scenario | {"engine": {"kind": "serial", "nodes": 3}}, out=tmp_path / "nodes")
    assert again.final["test_perplexity"] == pytest.approx(run.final["test_perplexity"], rel=1e-3)


@pytest.mark.ray
def test_hosts_learn_the_same_bits_of_a_regression(regression: dict[str, Any], tmp_path: Path) -> None:
    short = regression | {"rounds": 3}
    serial = fedsim.run(short, out=tmp_path / "serial")
    hosts = fedsim.run(short | {"engine": {"kind": "ray", "hosts": 2}}, out=tmp_path / "hosts")
    assert hosts.summary["params_sha256"] == serial.summary["params_sha256"]
    assert last(tmp_path / "hosts")["test_r2"] == last(tmp_path / "serial")["test_r2"]


def test_classes_of_a_file_may_be_learnt_as_numbers(tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((80, 2))
    np.savez(tmp_path / "d.npz", x=x, y=np.rint(10 * x[:, 0]) * 10)
    scenario = {
        "name": "whole",
        "rounds": 10,
        "folder": str(tmp_path),
        "data": {"dataset": "npz", "path": "d.npz", "clients": 4},
        "model": {"name": "linear-regression"},
        "client": {"lr": 0.1, "local_epochs": 3, "batch_size": 8},
        "task": {"loss": "mse"},
    }
    assert fedsim.run(scenario, out=tmp_path / "run").final["test_r2"] > 0.95
