from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.scenario import dump, from_dict, load, scenario_hash, slug

BASE: dict[str, Any] = {
    "name": "x",
    "seed": 1,
    "rounds": 3,
    "data": {"dataset": "digits", "clients": 10, "partition": {"kind": "dirichlet", "alpha": 0.5}},
    "model": {"name": "mlp", "hidden": [8]},
    "participation": {"kind": "bernoulli", "probabilities": 0.5},
    "strategy": {"name": "fedstale"},
}


def digest(*options: str) -> str:
    return scenario_hash(from_dict(BASE, options))


@pytest.mark.parametrize(
    "option",
    [
        "name=other",
        "rounds=30",
        "evaluate.every=1",
        "engine={kind: ray, hosts: 3}",
        "engine={kind: flower}",
        "engine={kind: serial, nodes: 4}",
        "metrics.store=a.db",
        "checkpoint={every: 2}",
        "on_divergence=continue",
        "stop={max_bytes: 3}",
        "probe={every: 1}",
        "memory.tier=disk",
        "compare=[{name: fedavg}]",
        "sweep={seed: [1, 2]}",
        "folder=elsewhere",
    ],
)
def test_what_changes_no_bit_is_not_hashed(option: str) -> None:
    assert digest(option) == digest()


@pytest.mark.parametrize(
    "option",
    [
        "seed=2",
        "data.clients=11",
        "data.partition.alpha=0.25",
        "data.test_fraction=0.25",
        "model.hidden.0=9",
        "client.lr=0.2",
        "client.lane=1",
        "participation.probabilities=0.25",
        "strategy.beta=0.25",
        "strategy.server_lr=0.5",
        "engine.nodes=2",
        "on_client_error=drop",
        "memory.dtype=bfloat16",
        "faults={crash: 0.5}",
        "devices={deadline_s: 3}",
    ],
)
def test_what_can_change_bits_is_hashed(option: str) -> None:
    base = {**BASE, "engine": {"kind": "serial"}, "strategy": {"name": "fedstale", "probabilities": "estimated"}}
    assert scenario_hash(from_dict(base, [option])) != scenario_hash(from_dict(base))


def test_the_hash_sees_values_and_not_how_they_are_written(tmp_path: Path) -> None:
    explicit = {**BASE, "client": {"lr": 0.1, "batch_size": 32}, "strategy": {"beta": 5e-1, "name": "fedstale"}}
    (tmp_path / "s.yaml").write_text("# a comment\n" + yaml.safe_dump(dict(reversed(explicit.items()))))
    assert scenario_hash(load(tmp_path / "s.yaml")) == digest()
    assert len(digest()) == 64


def test_a_key_that_came_later_leaves_older_hashes_alone() -> None:
    stock = BASE | {"strategy": {"name": "stock", "flower": "FedAdam"}, "engine": {"kind": "serial", "nodes": 10}}
    assert scenario_hash(from_dict(stock)).startswith("252e677967f3")


def test_a_dumped_scenario_has_the_same_hash() -> None:
    scenario = from_dict(BASE)
    assert scenario_hash(from_dict(yaml.safe_load(dump(scenario)))) == scenario_hash(scenario)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
    | st.sampled_from(["1e-3", "0o17", "no", "~", "1:30", "- a", "012", "\x85", "\u2028", "a\nb"]),
    number=st.floats(0, 1e300, exclude_min=True),
)
def test_any_name_and_number_survive_a_dump(name: str, number: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    scenario = from_dict({**BASE, "name": name, "client": {"timeout_s": number}})
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_bytes(dump(scenario).encode())
    assert load(path) == scenario


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("FedStale, 0.5", "fedstale-0.5"),
        ("../../etc", "etc"),
        ("日本", "scenario"),
        ("a" * 100, "a" * 60),
        ("é è", "e-e"),
        (".", "scenario"),
    ],
)
def test_a_slug_is_a_safe_folder_name(name: str, folder: str) -> None:
    assert slug(name) == folder
