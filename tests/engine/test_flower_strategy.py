"""A rule as a strategy for a user's own ServerApp: what fedsim's own run comes to, and what FedAvg does."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import ScenarioError
from tests.engine.apps import flowers, results

EXAMPLE = Path(__file__).parents[2] / "examples" / "flower_client"
CLIENTS = 3
"""Divides the 1797 digits, so that all clients have as many examples."""
SERVER = """
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
import fedsim
from fedsim.flower import strategy

app = ServerApp()

@app.main()
def main(grid, context):
    with np.load({start!r}) as first:
        arrays = ArrayRecord({{name: values for name, values in
            zip(first, [__import__("flwr").app.Array(first[name]) for name in first])}})
    made = {strategy}
    result = made.start(grid=grid, initial_arrays=arrays, train_config=ConfigRecord({{"lr": 0.1}}), num_rounds={rounds})
    np.savez({out!r}, **{{name: array.numpy() for name, array in result.arrays.items()}})
    print("RESULT", sorted(result.train_metrics_clientapp))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__", "runs"))
    text = (tmp_path / "example" / "app" / "pyproject.toml").read_text()
    # one batch holds all that a client has: chance is only in the order of a sum
    (tmp_path / "example" / "app" / "pyproject.toml").write_text(text.replace("batch-size = 16", "batch-size = 1000"))
    return tmp_path / "example"


def own(folder: Path, rounds: int, **options: Any) -> dict[str, Any]:
    """Return the model of fedsim's own run, and write where it starts."""
    world: dict[str, Any] = {
        "name": "own",
        "seed": 5,
        "rounds": rounds,
        "data": {"dataset": "digits", "clients": CLIENTS},
        "model": {"name": "./app/digits/task.py:Net"},
        "client": {"app": "./app"},
        **options,
    }
    from fedsim.engine.experiment import build
    from fedsim.scenario import from_dict

    scenario = from_dict(world, folder=str(folder))
    trainer = build(scenario).trainer
    np.savez(folder / "start.npz", **trainer.named(trainer.initial()))
    done = fedsim.run(scenario, out=folder / "own")
    with np.load(done.folder / "params.npz") as params:
        return dict(params)


def app_with(folder: Path, strategy: str, rounds: int) -> Path:
    text = SERVER.format(start=str(folder / "start.npz"), out=str(folder / "out.npz"), strategy=strategy, rounds=rounds)
    (folder / "app" / "digits" / "server_app.py").write_text(text)
    return folder / "app"


def here(folder: Path, strategy: str, rounds: int) -> dict[str, Any]:
    """Return the model of an app with this strategy, run by `fedsim flower-app`."""
    app = app_with(folder, strategy, rounds)
    command = [sys.executable, "-m", "fedsim", "flower-app", str(app), "--nodes", str(CLIENTS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "out.npz") as found:
        return dict(found)


def near(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert np.allclose(values, other[name], rtol=1e-4, atol=1e-5), name


@pytest.mark.slow
def test_an_apps_own_fedavg_is_ours_on_the_same_clients(folder: Path) -> None:
    ours = own(folder, 3)
    near(here(folder, "FedAvg(fraction_evaluate=0.0)", 3), ours)
    near(here(folder, f"strategy('fedavg', num_clients={CLIENTS})", 3), ours)


@pytest.mark.slow
def test_fedstale_in_a_server_app_is_fedsims_own_run(folder: Path) -> None:
    drawn = {"kind": "bernoulli", "probabilities": [0.5, 0.8, 0.3]}
    ours = own(folder, 6, participation=drawn, strategy={"name": "fedstale", "beta": 0.4})
    words = "probabilities=[0.5, 0.8, 0.3], beta=0.4, seed=5, fraction_evaluate=0.0"
    near(here(folder, f"strategy('fedstale', num_clients={CLIENTS}, {words})", 6), ours)


@pytest.mark.ray
@pytest.mark.slow
def test_it_runs_under_flowers_own_engine(folder: Path) -> None:
    own(folder, 1)
    client = folder / "app" / "digits" / "client_app.py"  # that engine, started by hand, gives clients no run_config
    text = client.read_text().replace('context.run_config["batch-size"]', "16")
    client.write_text(text.replace('context.run_config["local-epochs"]', "1"))
    words = "probabilities=0.7, beta=0.4, seed=5, fraction_evaluate=0.5"
    app = app_with(folder, f"strategy('fedstale', num_clients=4, {words})", 4)
    with tempfile.TemporaryDirectory(prefix="fl-", dir="/tmp") as short:
        (line,) = results(flowers(app, Path(short)))
    assert len(eval(line)) >= 3  # the rounds in which somebody came
    with np.load(folder / "out.npz") as found, np.load(folder / "start.npz") as start:
        assert all(np.isfinite(found[name]).all() for name in found)
        assert not np.array_equal(found["fc1.weight"], start["fc1.weight"])


def test_options_that_do_not_fit_are_refused_in_the_words_of_a_scenario() -> None:
    with pytest.raises(ScenarioError, match=r"strategy.bta: unknown key; did you mean 'beta'"):
        fedsim.flower.strategy("fedstale", bta=0.5, probabilities=0.5, num_clients=3)  # type: ignore[attr-defined]
    with pytest.raises(ScenarioError, match=r"did you mean 'fedstale'"):
        fedsim.flower.strategy("fedstal", num_clients=3)  # type: ignore[attr-defined]
    with pytest.raises(ScenarioError, match=r"has 2 entries|2 .* 3 clients"):
        fedsim.flower.strategy("fedavg", probabilities=[0.5, 0.5], num_clients=3)  # type: ignore[attr-defined]
    with pytest.raises(ScenarioError, match=r"scaffold has clients do more than train"):
        fedsim.flower.strategy("scaffold", num_clients=3)  # type: ignore[attr-defined]
    with pytest.raises(ScenarioError, match=r"gossip is no rule with a server model"):
        fedsim.flower.strategy("gossip", num_clients=3)  # type: ignore[attr-defined]
