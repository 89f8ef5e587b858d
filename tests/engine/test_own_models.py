"""Runs of modules of one's own: against a plain PyTorch loop that averages state_dicts by hand, and bit for bit."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy

import fedsim
from fedsim.api import read
from fedsim.clients.batches import draw
from fedsim.core import ScenarioError, rng
from fedsim.engine.experiment import build as experiment_of
from fedsim.engine.run.run import resume
from fedsim.models import Model
from fedsim.models.mlp import Mlp
from fedsim.models.modules import draws
from fedsim.models.modules.building import build
from fedsim.models.starting import Weights
from tests.models.own import Layers, LowRank, Normalised

pytestmark = pytest.mark.slow

WORLD: dict[str, Any] = {
    "name": "own",
    "seed": 3,
    "rounds": 3,
    "data": {"dataset": "digits", "clients": 5, "partition": {"kind": "dirichlet", "alpha": 0.5}},
    "model": {"name": "linear"},
    "client": {"local_steps": 3, "batch_size": 8, "lr": 0.1},
    "participation": {"kind": "schedule", "cohorts": [[0, 1, 3], [1, 2, 4], [0, 1]]},
    "strategy": {"name": "fedavg", "weights": "examples"},
    "engine": {"kind": "serial", "nodes": 2},
    "evaluate": {"every": 3},
}


def run(model: Model, folder: Path, **options: Any) -> fedsim.Run:
    return fedsim.run(replace(read(WORLD | options, {}), model=model), out=folder)


def saved(folder: Path) -> dict[str, Any]:
    with np.load(folder / "params.npz") as arrays:
        return dict(arrays)


def by_hand(mode: str, rounds: int) -> dict[str, torch.Tensor]:
    """FedAvg over whole state_dicts: SGD on the same batches, dropout under the same keys, plain averages."""
    experiment = experiment_of(read(WORLD, {}))
    data, work, seed = experiment.data, experiment.scenario.client, 3
    module = build(Normalised(buffers=mode), data.input_shape, data.num_classes, seed)  # type: ignore[arg-type]
    world = {name: value.clone() for name, value in module.state_dict().items()}
    trains = [name for name, _ in module.named_parameters()]
    first = {name: value for name, value in world.items() if name not in trains}
    own: dict[int, dict[str, torch.Tensor]] = {}
    for round in range(1, rounds + 1):
        cohort, after = experiment.process.cohort(round), []
        for client in cohort:
            begin = {name: value.clone() for name, value in world.items()}
            if mode == "local":
                begin |= own.get(int(client), first)
            module.load_state_dict(begin)
            module.train()
            if mode == "frozen":
                module.norm.eval()  # type: ignore[operator, union-attr]
            optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
            one = np.array([client])
            batches = draw(work, seed, round, one, data.num_examples[one])
            for number, size in enumerate(batches.cuts.of(0), 1):
                examples = data.rows(one, batches.positions[:1, number - 1, :size])
                optimizer.zero_grad()
                with draws.kept():
                    draws.turn(rng.digest(seed, "draws", round, int(client), number))
                    output = module(torch.from_numpy(np.array(examples.x[0])))
                cross_entropy(output, torch.from_numpy(np.array(examples.y[0]))).backward()
                optimizer.step()
            after.append({name: value.clone() for name, value in module.state_dict().items()})
            own[int(client)] = {name: value for name, value in after[-1].items() if name not in trains}
        share = data.num_examples[cohort] / data.num_examples.sum()
        for name in world:
            # FedAvg here weighs parameters by a_i / sum a_j as well, so that one line does for all
            mean = sum(s * each[name].double() for s, each in zip(share / share.sum(), after, strict=True))
            world[name] = mean.to(world[name].dtype) if world[name].is_floating_point() else mean.round().long()  # type: ignore[union-attr]
    return world


@pytest.mark.parametrize("mode", ["average", "local", "frozen"])
def test_a_run_equals_a_plain_loop_that_averages_state_dicts(mode: str, tmp_path: Path) -> None:
    run(Normalised(buffers=mode), tmp_path / "run")  # type: ignore[arg-type]
    found, wanted = saved(tmp_path / "run"), by_hand(mode, 3)
    assert set(found) == {
        name for name in wanted if mode != "frozen" or ("running" not in name and "batches" not in name)
    }
    for name, value in found.items():
        np.testing.assert_allclose(
            value.reshape(wanted[name].shape), wanted[name].numpy(), rtol=2e-5, atol=2e-6, err_msg=name
        )
    if mode == "average":
        assert abs(found["norm.running_mean"]).max() > 0.01
        assert int(found["norm.num_batches_tracked"].item()) in (3 * 2, 3 * 3)


def test_memories_never_correct_buffers(tmp_path: Path) -> None:
    for name in ("fedavg", "fedvarp", "fedstale"):
        options = {"probabilities": "estimated"} if name == "fedstale" else {}
        run(Normalised(), tmp_path / name, strategy={"name": name, **options}, rounds=1)
    means = [saved(tmp_path / name)["norm.running_mean"] for name in ("fedavg", "fedvarp", "fedstale")]
    assert np.array_equal(means[0], means[1])
    assert np.array_equal(means[0], means[2])


def test_buffers_count_as_traffic_where_they_travel(tmp_path: Path) -> None:
    buffers, parameters = 12 * 4 * 2 + 8, 4 * (64 * 12 + 12 + 24 + 12 * 10 + 10)
    for mode, each in (("average", parameters + buffers), ("local", parameters), ("frozen", parameters)):
        rows = run(Normalised(buffers=mode), tmp_path / mode, rounds=1).rounds  # type: ignore[arg-type]
        told = dict(zip(rows.metric, rows.value, strict=True))
        assert (told["bytes_down"], told["bytes_up"]) == (3 * each, 3 * each)


def test_two_runs_are_equal_and_another_seed_is_another_module(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    first, again = (run(Normalised(), tmp_path / name).summary["params_sha256"] for name in ("one", "two"))
    other = run(Normalised(), tmp_path / "three", seed=4).summary["params_sha256"]
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("lane", ["auto", 1])
def test_only_the_adapter_of_a_frozen_base_moves_and_travels(lane: Any, tmp_path: Path) -> None:
    found = run(LowRank(), tmp_path / "run", client={**WORLD["client"], "lane": lane})
    assert {name: value.shape for name, value in saved(tmp_path / "run").items()} == {
        "down.weight": (2, 64),
        "up.weight": (10, 2),
    }
    rows = found.rounds[found.rounds["round"] == 1]
    assert dict(zip(rows.metric, rows.value, strict=True))["bytes_down"] == 3 * 4 * (2 * 64 + 10 * 2)
    assert saved(tmp_path / "run")["up.weight"].any()


def test_a_file_gives_the_starting_values(tmp_path: Path) -> None:
    experiment = experiment_of(read(WORLD, {}))
    module = build(Normalised(), experiment.data.input_shape, 10, 99)
    with torch.no_grad():
        module.norm.running_mean += 0.5  # type: ignore[operator, union-attr]
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    model = Normalised(init=Weights(file=str(tmp_path / "w.safetensors")))
    made = experiment_of(replace(read(WORLD, {}), model=model)).trainer
    named = made.named(made.initial())
    for name, value in module.state_dict().items():
        assert np.array_equal(named[name].reshape(value.shape), value.numpy())
    save_file(
        {
            "norm.bias": torch.zeros(3),
            "more": torch.zeros(1),
            **{k: v for k, v in module.state_dict().items() if k.startswith("last")},
        },
        tmp_path / "w.safetensors",
    )
    with pytest.raises(ScenarioError) as caught:
        experiment_of(replace(read(WORLD, {}), model=model))
    text = str(caught.value)
    assert "lacks first.weight" in text
    assert "holds more, which the model has not" in text
    assert "holds norm.bias of shape (3,), the model's is (12,)" in text


def test_a_shipped_model_starts_from_a_file_or_as_the_module_does(tmp_path: Path) -> None:
    data = experiment_of(read(WORLD, {})).data
    module = build(Mlp(init="module"), data.input_shape, 10, 3)
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    scenario = {**WORLD, "model": {"name": "mlp", "init": {"file": "w.safetensors"}}}
    (tmp_path / "s.yaml").write_text(json.dumps(scenario))
    with pytest.raises(ScenarioError, match=r"model.init.file.*is no safetensors file"):
        experiment_of(read(tmp_path / "s.yaml", {}))
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    from_file = fedsim.run(tmp_path / "s.yaml", out=tmp_path / "file")
    own = run(Mlp(init="module"), tmp_path / "own")
    assert from_file.summary["params_sha256"] == own.summary["params_sha256"]
    assert from_file.summary["scenario_hash"] != own.summary["scenario_hash"]


def test_gossip_keeps_buffers_and_starts_each_node_by_its_own_draw(tmp_path: Path) -> None:
    strategy = {"name": "gossip", "correction": "variance"}
    shas = {}
    for mode in ("average", "local"):
        found = run(Normalised(buffers=mode), tmp_path / mode, strategy=strategy)  # type: ignore[arg-type]
        shas[mode] = found.summary["params_sha256"]
        arrays = saved(tmp_path / mode)
        assert arrays["nodes"].shape[1] == sum(value.size for name, value in arrays.items() if name != "nodes")
    assert shas["average"] != shas["local"]
    made = experiment_of(replace(read(WORLD, {}), model=Normalised())).trainer
    assert not np.array_equal(made.initial(0), made.initial(1))
    assert np.array_equal(made.initial(1), made.initial(1))


def test_stock_strategies_average_buffers_beside_what_they_see(tmp_path: Path) -> None:
    stock = {
        "strategy": {"name": "stock", "flower": "FedAvg"},
        "engine": {"kind": "serial", "nodes": 5},
    }
    run(Normalised(), tmp_path / "stock", **stock)
    run(Normalised(), tmp_path / "own", engine={"kind": "serial", "nodes": 5})
    one, other = saved(tmp_path / "stock"), saved(tmp_path / "own")
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-5)


def test_layers_by_reference_are_the_shipped_mlp(tmp_path: Path) -> None:
    own, shipped = run(Layers(), tmp_path / "own"), run(Mlp(init="module"), tmp_path / "shipped")
    assert own.summary["params_sha256"] == shipped.summary["params_sha256"]


@pytest.mark.ray
@pytest.mark.parametrize("mode", ["average", "local"])
def test_hosts_give_the_same_bits_to_batch_normalisation_and_dropout(mode: str, tmp_path: Path, cluster: str) -> None:
    ray = {"kind": "ray", "address": cluster, "hosts": 2, "nodes": 2}
    found = [
        run(Normalised(buffers=mode), tmp_path / kind, **options)
        for kind, options in (("serial", {}), ("ray", {"engine": ray}))
    ]  # type: ignore[arg-type]
    assert found[0].summary["params_sha256"] == found[1].summary["params_sha256"]
    assert found[0].summary["final"] == found[1].summary["final"]


NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, input_shape, num_classes, hidden: int = 8, dropout: float = 0.2):
        super().__init__()
        self.first = nn.Linear(torch.Size(input_shape).numel(), hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, num_classes)

    def forward(self, x):
        return self.out(self.drop(self.norm(self.first(x.flatten(1))).relu()))
"""


@pytest.mark.parametrize("mode", ["average", "local"])
def test_a_resumed_run_of_a_file_has_the_bits_of_an_undisturbed_one(mode: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    model = {"name": "./net.py:Net", "hidden": 12, "buffers": mode}
    text = json.dumps({**WORLD, "model": model, "rounds": 6, "checkpoint": {"every": 2}})
    (tmp_path / "s.yaml").write_text(text)
    whole = fedsim.run(tmp_path / "s.yaml", out=tmp_path / "whole")
    fedsim.run(tmp_path / "s.yaml", out=tmp_path / "parts", rounds=4)
    parts = resume(tmp_path / "parts", rounds=6)
    assert parts.summary["params_sha256"] == whole.summary["params_sha256"]
    assert parts.summary["final"] == whole.summary["final"]


ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["my_model", "lora_tiny"])
def test_an_example_runs_from_its_own_folder(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "examples" / name, tmp_path / name)
    found = fedsim.run(folder / "scenario.yaml", out=tmp_path / "run")
    assert found.final["test_accuracy"] > 0.5


def test_the_module_of_the_page_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "own-model.md").read_text()
    for file, language in (("net.py", "python"), ("scenario.yaml", "yaml")):
        (text,) = re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
        (tmp_path / file).write_text(text)
    assert fedsim.run(tmp_path / "scenario.yaml", out=tmp_path / "run", rounds=8).final["test_accuracy"] > 0.3


def test_a_wrong_answer_is_told_with_the_line_that_gives_it(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET.replace("self.out(self.drop", "(self.drop"))
    with pytest.raises(ScenarioError, match=r"net.py:14\) returns shape \(4, 8\) for 4 examples; it must be"):
        fedsim.run({**WORLD, "model": {"name": str(tmp_path / "net.py:Net")}}, out=tmp_path / "run")


def test_a_bare_word_is_told_as_the_mapping_it_means() -> None:
    with pytest.raises(ScenarioError, match=r"must be a mapping such as \{name: mlp\}"):
        fedsim.run(WORLD, model="mlp")
