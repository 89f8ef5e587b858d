from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedsim.core import ScenarioError
from fedsim.scenario import Scenario, dump, expand, from_dict, load, to_mapping

DIGITS = {
    "name": "x",
    "rounds": 3,
    "data": {"dataset": "digits", "clients": 10},
    "model": {"name": "linear"},
}
TEXT = """\
name: x
rounds: 3
data: {dataset: digits, clients: 10}
model: {name: linear}
"""


def write(folder: Path, text: str, name: str = "s.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def problems(error: pytest.ExceptionInfo[ScenarioError]) -> list[str]:
    return [f"{p.key}: {p.message}" for p in error.value.problems]


def test_a_file_and_the_same_mapping_give_equal_scenarios(tmp_path: Path) -> None:
    from_file = load(write(tmp_path, TEXT))
    assert from_file == from_dict(DIGITS, folder=str(tmp_path))


def test_defaults_are_filled_in_and_nodes_are_resolved(tmp_path: Path) -> None:
    scenario = load(write(tmp_path, TEXT))
    assert (scenario.seed, scenario.strategy.name, scenario.participation.kind) == (0, "fedavg", "full")
    assert scenario.evaluate.every == 10
    assert scenario.engine.nodes == 4
    assert scenario.num_clients == 10


@pytest.mark.parametrize(("clients", "nodes", "hosts"), [(1, 1, 1), (3, 3, 2), (10, 4, 2)])
def test_ray_defaults_follow_the_clients_and_never_the_hardware(clients: int, nodes: int, hosts: int) -> None:
    scenario = from_dict({**DIGITS, "data": {"dataset": "digits", "clients": clients}, "engine": {"kind": "ray"}})
    assert (scenario.engine.nodes, scenario.engine.hosts) == (nodes, hosts)


def test_numpy_numbers_tuples_and_paths_are_understood() -> None:
    scenario = from_dict(
        {
            **DIGITS,
            "seed": np.int64(3),
            "client": {"lr": np.float32(0.5)},
            "participation": {"kind": "schedule", "cohorts": ((0, 1), ())},
            "metrics": {"store": Path("a.db")},
        }
    )
    assert scenario.seed == 3
    assert scenario.client.lr == 0.5
    assert scenario.participation.cohorts == ((0, 1), ())
    assert scenario.metrics.store == "a.db"


def test_values_that_no_file_can_hold_are_refused() -> None:
    with pytest.raises(ScenarioError) as error:
        from_dict({**DIGITS, "seed": {1, 2}, 3: 4, "client": {"lr": lambda: 1}})
    assert len(error.value.problems) == 3
    assert {p.file for p in error.value.problems} == {"<dict>"}


def test_a_dumped_scenario_loads_back_equal_from_another_folder(tmp_path: Path) -> None:
    scenario = load(write(tmp_path, TEXT), ["client.lr=1e-5", "participation={kind: uniform, size: 3}"])
    other = tmp_path / "elsewhere"
    other.mkdir()
    assert load(write(other, dump(scenario))) == scenario
    assert from_dict(to_mapping(scenario)) == scenario


def test_a_sweep_makes_one_validated_scenario_for_each_combination_in_order(tmp_path: Path) -> None:
    text = TEXT + "strategy: {name: fedstale}\nsweep: {strategy.beta: [0, 0.5], seed: [1, 2, 3]}\n"
    runs = expand(write(tmp_path, text))
    assert [(run.strategy.beta, run.seed) for run in runs] == [(b, s) for b in (0.0, 0.5) for s in (1, 2, 3)]
    assert all(isinstance(run, Scenario) and run.sweep is None for run in runs)
    assert expand(load(write(tmp_path, text))) == runs
