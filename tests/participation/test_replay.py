"""Whole runs: a schedule replayed gives the same bits, and strategies of one comparison meet the same absences."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import World
from fedsim.participation import schedule_hash
from fedsim.participation.schedules.file import write_schedule
from fedsim.scenario import from_dict

SCENARIO: dict[str, Any] = {
    "name": "replay",
    "seed": 5,
    "rounds": 12,
    "data": {"dataset": "quadratic", "centers": [[float(c), -c] for c in range(9)], "noise": 0.1},
    "model": {"name": "point", "init": [4.0, 1.0]},
    "client": {"local_steps": 2, "lr": 0.1},
    "strategy": {"name": "fedavg", "normalise": "participants"},
}
PROCESSES: list[dict[str, Any]] = [
    {"kind": "markov", "probabilities": [0.1 * k for k in range(1, 10)]},
    {"kind": "cyclic", "probabilities": 0.3, "period": 4, "phase": "inactive"},
    {"kind": "all_of", "processes": [{"kind": "uniform", "size": 5}, {"kind": "outage", "rate": 0.2}]},
]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process["kind"])
def test_a_schedule_written_and_replayed_gives_the_same_parameters(tmp_path: Path, process: dict[str, Any]) -> None:
    direct = fedsim.run(SCENARIO | {"participation": process}, out=tmp_path / "direct")
    scenario = from_dict(SCENARIO | {"participation": process})
    saved = write_schedule(tmp_path / "s.npz", scenario.participation.process(World(5, 9)), 12)
    replay = {"participation": {"kind": "schedule", "file": str(tmp_path / "s.npz")}}
    replayed = fedsim.run(SCENARIO | replay, out=tmp_path / "replayed")
    assert direct.summary["schedule_hash"] == replayed.summary["schedule_hash"] == saved
    assert direct.summary["params_sha256"] == replayed.summary["params_sha256"]


def test_a_matrix_typed_by_hand_gives_the_parameters_computed_by_hand(tmp_path: Path) -> None:
    cohorts = {"kind": "schedule", "cohorts": [[0, 1], [0, 2], []]}
    toy = SCENARIO | {
        "rounds": 3,
        "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]]},
        "model": {"name": "point", "init": [4.0]},
        "client": {"local_steps": 1, "lr": 0.5},
    }
    run = fedsim.run(toy | {"participation": cohorts}, out=tmp_path / "toy")
    # 4 -> 4 + mean(-2, -1) = 2.5 -> 2.5 + mean(-1.25, 1.75) = 2.75 -> nobody: 2.75
    with np.load(run.folder / "params.npz") as params:
        assert params["point"].tolist() == [2.75]


def test_strategies_of_one_comparison_have_the_same_schedule_hash(tmp_path: Path) -> None:
    hashes = set()
    for name in ("fedavg", "fedau", "mifa", "fedstale"):
        run = fedsim.run(
            SCENARIO | {"strategy": {"name": name}, "participation": PROCESSES[0]},
            out=tmp_path / name,
            evaluate__every=5,
        )
        hashes.add(run.summary["schedule_hash"])
    scenario = from_dict(SCENARIO | {"participation": PROCESSES[0]})
    assert hashes == {schedule_hash(scenario.participation.process(World(5, 9)), 12)}


def test_a_deadline_leaves_the_schedule_as_it_is_and_takes_out_the_late(tmp_path: Path) -> None:
    devices = {"steps_per_s": [1.0] * 3 + [10.0] * 6, "deadline_s": 1.0}
    plain = SCENARIO | {"participation": PROCESSES[0], "client": {"local_steps": 5, "lr": 0.1}}
    run = fedsim.run(plain | {"devices": devices}, out=tmp_path / "late")
    scenario = from_dict(plain)
    process = scenario.participation.process(World(5, 9))
    in_time = [[c for c in process.cohort(r).tolist() if c >= 3] for r in range(1, 13)]
    typed = fedsim.run(plain | {"participation": {"kind": "schedule", "cohorts": in_time}}, out=tmp_path / "typed")
    assert run.summary["schedule_hash"] == schedule_hash(process, 12)
    assert run.summary["params_sha256"] == typed.summary["params_sha256"]
