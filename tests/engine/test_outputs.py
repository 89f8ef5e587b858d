"""What a run leaves behind, and what it refuses to overwrite."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import DiskError, ScenarioError
from fedsim.scenario import load, scenario_hash

SMALL: dict[str, Any] = {
    "name": "Small run",
    "seed": 7,
    "rounds": 5,
    "data": {"dataset": "digits", "clients": 6},
    "model": {"name": "linear"},
    "client": {"local_steps": 2, "batch_size": 8, "lr": 0.1},
    "participation": {"kind": "schedule", "cohorts": [[0, 1], [], [2, 3, 4]]},
    "evaluate": {"every": 2},
}
NUMBERS = ("startup_s", "round_s_median", "client_updates_per_s", "train_s", "ship_s", "reduce_s", "record_s")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fedsim.Run:
    return fedsim.run(SMALL, out=tmp_path_factory.mktemp("outputs") / "run")


@pytest.fixture(scope="module")
def rows(run: fedsim.Run) -> list[dict[str, str]]:
    with (run.folder / "rounds.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_folder_holds_the_four_files_and_nothing_temporary(run: fedsim.Run) -> None:
    visible = {path.name for path in run.folder.iterdir() if not path.name.startswith(".")}
    assert visible == {"scenario.yaml", "rounds.csv", "params.npz", "summary.json"}
    assert not list(run.folder.rglob("*.tmp"))
    assert not (run.folder / ".lock").exists()


def test_the_scenario_left_behind_is_the_whole_scenario_with_its_hash_and_versions(run: fedsim.Run) -> None:
    text = (run.folder / "scenario.yaml").read_text()
    head = [line for line in text.splitlines() if line.startswith("# ")]
    assert head[0] == f"# scenario_hash: {run.summary['scenario_hash']}"
    assert {line.split(":")[0] for line in head} >= {"# python", "# fedsim", "# torch", "# ray", "# flwr", "# numpy"}
    assert "batch_size: 8" in text
    assert "weights: uniform" in text  # a default, said aloud
    again = load(run.folder / "scenario.yaml")
    assert scenario_hash(again) == run.summary["scenario_hash"]
    assert (again.name, again.rounds) == ("Small run", 5)


def test_rounds_csv_has_one_row_for_each_training_round(rows: list[dict[str, str]]) -> None:
    assert next(iter(rows[0])) == "round"
    assert [int(row["round"]) for row in rows] == [1, 2, 3, 4, 5]
    assert [int(float(row["cohort_size"])) for row in rows] == [2, 0, 3, 2, 0]
    assert [int(float(row["empty_round"])) for row in rows] == [0, 1, 0, 0, 1]
    assert [row["test_accuracy"] != "" for row in rows] == [False, True, False, True, True]


def test_rounds_csv_tells_loss_norm_variance_seconds_and_bytes_of_each_round(rows: list[dict[str, str]]) -> None:
    first = {name: float(value) for name, value in rows[0].items() if value}
    assert {"train_loss", "update_norm", "update_variance", "params_norm", "round_s", "train_s"} <= set(first)
    assert min(first["train_loss"], first["update_norm"], first["update_variance"]) > 0
    model_bytes = 4 * (64 * 10 + 10)
    assert (first["bytes_down"], first["bytes_up"]) == (2 * model_bytes, 2 * model_bytes)
    assert float(rows[1]["update_norm"]) == 0.0


def test_the_update_variance_is_the_spread_of_the_deltas(tmp_path: Path) -> None:
    scenario = {
        "name": "spread",
        "rounds": 1,
        "data": {"dataset": "quadratic", "centers": [[0.0, 0.0], [2.0, 0.0], [4.0, 6.0]]},
        "model": {"name": "point", "init": [0.0, 0.0]},
        "client": {"local_steps": 1, "lr": 0.5},
    }
    run = fedsim.run(scenario, out=tmp_path / "run")
    deltas = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 3.0]])
    spread = ((deltas - deltas.mean(axis=0)) ** 2).sum(axis=1).mean()
    found = run.rounds.query("metric == 'update_variance'")["value"].item()
    assert found == pytest.approx(spread, rel=1e-6)


def test_params_npz_holds_the_parameters_that_the_hash_is_of(run: fedsim.Run) -> None:
    with np.load(run.folder / "params.npz") as params:
        assert sorted(params[name].shape for name in params.files) == [(10,), (10, 64)]
        flat = np.concatenate([params[name].ravel() for name in params.files]).astype("<f4")
    assert hashlib.sha256(flat.tobytes()).hexdigest() == run.summary["params_sha256"]


def test_the_summary_has_every_promised_key(run: fedsim.Run) -> None:
    summary = json.loads((run.folder / "summary.json").read_text())
    assert summary == run.summary
    assert (summary["status"], summary["rounds"], summary["seed"]) == ("completed", 5, 7)
    assert all(len(summary[key]) == 64 for key in ("scenario_hash", "schedule_hash", "params_sha256"))
    assert {"round", "test_loss", "test_accuracy"} <= set(summary["final"])
    assert summary["final"]["round"] == 5
    assert all(isinstance(summary["timing"][name], float) for name in NUMBERS)
    assert summary["timing"]["client_updates_per_s"] >= 0
    assert summary["peak_rss_bytes"] > 10_000_000


def test_the_schedule_hash_is_of_the_packed_schedule(run: fedsim.Run) -> None:
    there = np.zeros((5, 6), bool)
    for round, cohort in enumerate([[0, 1], [], [2, 3, 4], [0, 1], []]):
        there[round, cohort] = True
    assert run.summary["schedule_hash"] == hashlib.sha256(np.packbits(there, axis=1).tobytes()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [{"name": "another"}, {"evaluate__every": 5}, {"rounds": 6}, {"engine__kind": "ray"}, {"checkpoint__every": 2}],
)
def test_what_changes_no_bit_does_not_change_the_scenario_hash(run: fedsim.Run, change: dict[str, Any]) -> None:
    from fedsim.api import read

    assert scenario_hash(read(SMALL, change)) == run.summary["scenario_hash"]


@pytest.mark.parametrize(
    "change", [{"seed": 8}, {"engine": {"kind": "serial", "nodes": 2}}, {"client__lr": 0.2}, {"client__lane": 2}]
)
def test_what_can_change_a_bit_changes_the_scenario_hash(run: fedsim.Run, change: dict[str, Any]) -> None:
    from fedsim.api import read

    assert scenario_hash(read(SMALL, change)) != run.summary["scenario_hash"]


def test_a_taken_folder_is_refused_unless_overwrite_is_said(tmp_path: Path) -> None:
    first = fedsim.run(SMALL, out=tmp_path / "run")
    before = {path.name: path.read_bytes() for path in first.folder.iterdir() if path.is_file()}
    with pytest.raises(ScenarioError, match=r"is not empty; .* --overwrite"):
        fedsim.run(SMALL, out=tmp_path / "run", seed=8)
    assert {path.name: path.read_bytes() for path in first.folder.iterdir() if path.is_file()} == before
    second = fedsim.run(SMALL, out=tmp_path / "run", overwrite=True, seed=8)
    assert json.loads((first.folder / "summary.json").read_text())["seed"] == second.summary["seed"] == 8


def test_overwrite_replaces_runs_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("thesis")
    with pytest.raises(ScenarioError, match="no run is in this folder"):
        fedsim.run(SMALL, out=tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_files_of_others_survive_an_overwrite(tmp_path: Path) -> None:
    run = fedsim.run(SMALL, out=tmp_path / "run")
    (run.folder / "notes.txt").write_text("seen")
    fedsim.run(SMALL, out=tmp_path / "run", overwrite=True)
    assert (run.folder / "notes.txt").read_text() == "seen"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(ScenarioError, match="is a file, not a folder"):
        fedsim.run(SMALL, out=tmp_path / "run")


def test_a_place_that_cannot_be_written_is_a_disk_error_with_8() -> None:
    with pytest.raises(DiskError, match="/proc") as caught:
        fedsim.run(SMALL, out="/proc/run")
    assert caught.value.exit_code == 8


def test_default_folders_are_numbered_and_named_by_slug_and_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [fedsim.run(SMALL) for _ in range(3)]
    stem = f"small-run-{runs[0].summary['scenario_hash'][:8]}"
    assert [str(run.folder) for run in runs] == [f"runs/{stem}", f"runs/{stem}-2", f"runs/{stem}-3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
    assert (tmp_path / "runs" / "fedsim.db").exists()
