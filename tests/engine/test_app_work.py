"""An unmodified Flower ClientApp as the local work: any rule, any participation, probe, checkpoints, hosts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import ClientError, ScenarioError
from fedsim.engine.run.run import Run, resume
from fedsim.scenario import from_dict, scenario_hash

EXAMPLE = Path(__file__).parents[2] / "examples" / "flower_client"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__", "runs"))
    return tmp_path / "example"


def run(folder: Path, out: Path, **options: Any) -> Run:
    return fedsim.run(folder / "scenario.yaml", out=out, **{"rounds": 4, "probe__draws": 5, **options})


def seen(done: Run) -> tuple[str, list[float]]:
    """Return the hash of the final model, and the update variances that the probe found."""
    rounds = done.rounds
    return done.summary["params_sha256"], rounds[rounds["metric"] == "probe_variance.this"]["value"].tolist()


@pytest.mark.slow
def test_it_trains_under_fedstale_and_markov_and_a_resumed_run_has_the_same_bits(folder: Path) -> None:
    whole = run(folder, folder / "whole")
    assert whole.final["test_accuracy"] > 0.6
    assert len(seen(whole)[1]) == 2
    assert whole.rounds[whole.rounds["metric"] == "client.train_loss"]["value"].notna().all()
    run(folder, folder / "half", rounds=2)
    assert seen(resume(folder / "half", rounds=4)) == seen(whole)
    without_probe = run(folder, folder / "bare", probe=None)
    assert without_probe.summary["params_sha256"] == whole.summary["params_sha256"]


@pytest.mark.ray
def test_on_two_hosts_it_has_the_bits_of_one_process(folder: Path) -> None:
    here = run(folder, folder / "here")
    assert seen(run(folder, folder / "hosts", engine={"kind": "ray", "hosts": 2})) == seen(here)


def edited(folder: Path, name: str, before: str, after: str) -> None:
    text = (folder / "app" / "digits" / name).read_text()
    assert before in text
    (folder / "app" / "digits" / name).write_text(text.replace(before, after))


def test_a_changed_source_is_another_run_and_is_named_when_one_is_resumed(folder: Path) -> None:
    before = run(folder, folder / "run", rounds=1)
    edited(folder, "task.py", "momentum=0.9", "momentum=0.8")
    with pytest.raises(ScenarioError, match=r"client.app: .*/app/digits/task.py: sha256 was"):
        resume(folder / "run", rounds=2)
    from fedsim.scenario import load

    assert scenario_hash(load(folder / "scenario.yaml")) != before.summary["scenario_hash"]


FAILS = {
    "raises": (
        "client_app.py",
        "    model = Net()\n",
        "    raise ValueError('no data')\n",
        "client_app.py:17: ValueError: no data",
    ),
    "shape": (
        "client_app.py",
        "model.state_dict())\n    metrics",
        "{k: v[:3] if v.dim() else v for k, v in model.state_dict().items()})\n    metrics",
        "of the arrays in the reply, fc1.weight has shape (3, 64), the model's has (32, 64)",
    ),
    "other names": (
        "client_app.py",
        "ArrayRecord(model",
        "ArrayRecord(model.fc1",
        "fc1.weight is missing, the model's",
    ),
    "no examples": ("client_app.py", '"num-examples": len(trainloader.dataset)', '"n": 1', "'num-examples', got None"),
    "nan": (
        "client_app.py",
        "model.state_dict())\n    metrics",
        "{k: v * float('nan') for k, v in model.state_dict().items()})\n    metrics",
        "not finite, the first in fc1.weight at 0",
    ),
}


@pytest.mark.parametrize(("name", "before", "after", "text"), FAILS.values(), ids=FAILS)
def test_what_fails_in_the_app_is_told_in_one_line(folder: Path, name: str, before: str, after: str, text: str) -> None:
    edited(folder, name, before, after)
    with pytest.raises(ClientError) as caught:
        run(folder, folder / "run", rounds=1, probe=None)
    (line,) = str(caught.value).splitlines()
    assert text in line


def test_an_app_that_is_not_there_or_has_no_such_option_is_refused(tmp_path: Path) -> None:
    base = {"name": "x", "rounds": 1, "data": {"dataset": "digits", "clients": 2}, "model": {"name": "linear"}}
    with pytest.raises(ScenarioError, match=r"client.app: there is no Flower app in .*: no pyproject.toml"):
        from_dict({**base, "client": {"app": "."}}, folder=str(tmp_path))
    with pytest.raises(ScenarioError, match=r"client.run_config.epochs: the app has no such option; it has num-server"):
        from_dict({**base, "client": {"app": str(EXAMPLE / "app"), "run_config": {"epochs": 2}}})
    with pytest.raises(ScenarioError, match=r"client.momentum: the app has options of its own"):
        from_dict({**base, "client": {"app": str(EXAMPLE / "app"), "momentum": 0.9}})
    with pytest.raises(ScenarioError, match=r"client.app: starts from a server's model, and gossip"):
        from_dict({**base, "client": {"app": str(EXAMPLE / "app")}, "strategy": {"name": "gossip"}})


def test_the_app_finds_what_flowers_fedavg_would_send(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "from flwr.app import MetricRecord, RecordDict, Message, ConfigRecord\n"
        "from flwr.clientapp import ClientApp\n"
        "app = ClientApp()\n"
        "@app.train()\n"
        "def train(msg, context):\n"
        "    config, node = msg.content['config'], context.node_config\n"
        "    assert sorted(msg.content) == ['arrays', 'config'], list(msg.content)\n"
        "    assert (config['lr'], config['mu'], node['num-partitions']) == (0.25, 3, 2), dict(config)\n"
        "    assert context.run_config['epochs'] == 7\n"
        "    seen = context.state.config_records.setdefault('seen', ConfigRecord({'rounds': []}))\n"
        "    seen['rounds'] = [*seen['rounds'], config['server-round']]\n"
        "    told = {'num-examples': 1, 'times': len(seen['rounds']), 'partition': node['partition-id']}\n"
        "    content = RecordDict({'arrays': msg.content['arrays'], 'metrics': MetricRecord(told)})\n"
        "    return Message(content, reply_to=msg)\n"
    )
    (tmp_path / "pyproject.toml").write_text(
        '[tool.flwr.app.components]\nclientapp = "one:app"\n[tool.flwr.app.config]\nepochs = 1\nlr = 0.25\n'
    )
    done = fedsim.run(
        {
            "name": "told",
            "rounds": 3,
            "data": {"dataset": "digits", "clients": 2},
            "model": {"name": "linear"},
            "client": {"app": "app", "run_config": {"epochs": 7}, "train_config": {"mu": 3}} | {"app": str(tmp_path)},
        },
        out=tmp_path / "run",
    )
    rounds = done.rounds
    assert rounds[rounds["metric"] == "client.times"]["value"].tolist() == [1.0, 2.0, 3.0]
    assert rounds[rounds["metric"] == "client.partition"]["value"].tolist() == [0.5] * 3
    assert not np.any(rounds[rounds["metric"] == "update_norm"]["value"])
