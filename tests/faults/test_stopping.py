"""Conditions that end a run end it in the same round on every path to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.api import read
from fedsim.engine.run.run import execute, resume
from tests.faults.scenes import assert_as_undisturbed, scene

pytestmark = pytest.mark.faults

CONDITIONS: dict[str, tuple[dict[str, Any], str]] = {
    "target of an accuracy": ({"metric": "test_accuracy", "target": 0.3}, "test_accuracy has reached 0."),
    "target of a loss": ({"metric": "train_loss", "target": 0.6}, "train_loss has reached "),
    "patience": ({"metric": "params_norm", "patience": 4}, "params_norm has not improved on "),
    "bytes": ({"max_bytes": 150_000}, "bytes have been sent, stop.max_bytes is 150000"),
}


@pytest.mark.parametrize("strategy", ["fedstale", "gossip"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_ends_a_run_alike_without_and_with_a_kill_before(
    condition: str, strategy: str, tmp_path: Path
) -> None:
    stop, text = CONDITIONS[condition]
    if strategy == "gossip" and stop.get("metric") == "params_norm":
        stop = {**stop, "metric": "consensus_distance", "patience": 2}
        text = text.replace("params_norm", "consensus_distance")
    scenario = scene(strategy, rounds=60, stop=stop, evaluate={"every": 2}, client={"local_steps": 4, "lr": 0.3})
    straight = fedsim.run(scenario, out=tmp_path / "straight" / "run")
    assert straight.status == "stopped"
    assert text in straight.summary["reason"]
    assert 1 < straight.summary["rounds"] < 60
    assert straight.final["round"] == straight.summary["rounds"]

    class Cut(BaseException):
        pass

    def at(point: str, round: int) -> None:
        if (point, round) == ("record", straight.summary["rounds"]):
            raise Cut

    folder = tmp_path / "cut" / "run"
    with pytest.raises(Cut):
        execute(read(scenario, {}), out=folder, at=at)
    (folder / "summary.json").unlink()
    assert_as_undisturbed(resume(folder), straight)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert resume(folder, rounds=100).status == "stopped"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_the_virtual_clock_ends_a_run(tmp_path: Path) -> None:
    scenario = scene("fedavg", devices={}, stop={"max_virtual_s": 0.5}, rounds=1000, checkpoint=None)
    run = fedsim.run(scenario, out=tmp_path / "run")
    clock = run.rounds.query("metric == 'virtual_s'").set_index("round")["value"]
    assert run.status == "stopped"
    assert clock.iloc[-1] >= 0.5 > clock.iloc[-2]


def test_a_run_whose_last_round_meets_the_condition_is_completed(tmp_path: Path) -> None:
    first = fedsim.run(scene("fedavg", stop={"max_bytes": 150_000}, rounds=100), out=tmp_path / "a")
    last = first.summary["rounds"]
    assert (
        fedsim.run(scene("fedavg", stop={"max_bytes": 150_000}, rounds=last), out=tmp_path / "b").status == "completed"
    )
