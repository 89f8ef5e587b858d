"""Worlds in which nobody takes part, figures of odd names, terminals of few letters: told, drawn, replaced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedsim.cli import main

pytestmark = pytest.mark.slow

TOY: dict[str, Any] = {
    "name": "toy",
    "rounds": 6,
    "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]]},
    "model": {"name": "point", "init": [4.0]},
    "client": {"local_steps": 2, "lr": 0.1},
    "engine": {"kind": "serial"},
}
UNIX = "client,start_s,end_s\n0,1700000000,1700003600\n1,1700001000,1700009000\n"
TRACE = {"kind": "trace", "file": "t.csv", "round_s": 60}
EMPTY: dict[str, tuple[dict[str, Any], str]] = {
    "unix time": ({"participation": TRACE}, "the first window starts at 1700000000 s, after the last round at 300 s"),
    "past its end": (
        {"participation": TRACE | {"offset_s": 1.8e9, "cycle": False}},
        "the last window ends at 1700009000 s, before round 1 at 1800000000 s",
    ),
    "joins later": (
        {"participation": {"kind": "groups", "groups": [{"joins_at": 100, "process": {"kind": "full"}}]}},
        "the first group joins in round 100, after the last round 6",
    ),
    "empty cohorts": (
        {"participation": {"kind": "schedule", "cohorts": [[], []]}},
        "every cohort that is written down",
    ),
    "an empty part": (
        {"participation": {"kind": "all_of", "processes": [{"kind": "full"}, TRACE]}},
        "the first window starts at 1700000000 s",
    ),
    "deadline": (
        {"devices": {"steps_per_s": 0.001, "deadline_s": 1}},
        "the fastest device needs 2000 s for 2 steps, and deadline_s is 1",
    ),
}


def write(folder: Path, **sections: Any) -> str:
    (folder / "t.csv").write_text(UNIX)
    (folder / "s.yaml").write_text(json.dumps(TOY | sections, ensure_ascii=False), encoding="utf-8")
    return str(folder / "s.yaml")


@pytest.mark.parametrize("case", EMPTY)
def test_a_world_without_anybody_is_told_before_and_after(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sections, why = EMPTY[case]
    scenario = write(tmp_path, **sections)
    assert main(["validate", scenario]) == 0
    assert f"warning: nobody takes part in any of 6 rounds; {why}" in capsys.readouterr().err
    assert main(["run", scenario, "--out", str(tmp_path / "run")]) == 0
    told = capsys.readouterr()
    assert f"empty: nobody took part in any of 6 rounds; {why}" in told.out
    assert why in json.loads((tmp_path / "run" / "summary.json").read_text())["empty"]


def test_a_deadline_that_only_the_run_shows_is_told_with_how_many_missed_it(tmp_path: Path) -> None:
    scenario = write(tmp_path, devices={"up_bytes_per_s": 0.001, "deadline_s": 1})
    assert main(["run", scenario, "-q", "--out", str(tmp_path / "run")]) == 0
    told = json.loads((tmp_path / "run" / "summary.json").read_text())["empty"]
    assert told == "nobody took part in any of 6 rounds; 18 invited clients missed the deadline"


def test_a_world_with_somebody_is_told_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = write(tmp_path, participation=TRACE | {"offset_s": 1.7e9})
    assert main(["validate", scenario]) == 0
    assert main(["run", scenario, "--out", str(tmp_path / "run")]) == 0
    assert "nobody" not in "".join(capsys.readouterr())
    assert "empty" not in json.loads((tmp_path / "run" / "summary.json").read_text())


def test_a_dollar_in_a_name_is_drawn_by_every_command(tmp_path: Path) -> None:
    scenario, run = write(tmp_path, name="budget $x^$"), str(tmp_path / "run")
    assert main(["run", scenario, "-q", "--out", run]) == 0
    commands = [
        ["participation", scenario, "--out", str(tmp_path / "who")],
        ["report", run, "--out", str(tmp_path / "r.png")],
        ["profile", scenario, "--rounds", "2", "--out", str(tmp_path / "profile")],
        ["compare", scenario, "--strategies", "fedavg,fedstale", "--seeds", "1", "--out", str(tmp_path / "all")],
    ]
    assert [main(command) for command in commands] == [0, 0, 0, 0]


@pytest.mark.parametrize("command", ["run", "participation", "data", "plan"])
def test_a_terminal_that_is_not_utf_8_gets_replaced_letters(command: str, tmp_path: Path) -> None:
    scenario = write(tmp_path, name="β \N{GRINNING FACE}")
    done = subprocess.run(
        [sys.executable, "-m", "fedsim", command, scenario],
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        cwd=tmp_path,
        capture_output=True,
        encoding="latin-1",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "? ?" in done.stdout


def test_a_diverged_member_of_a_sweep_gives_the_same_reason_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = write(tmp_path, sweep={"client.lr": [0.1, 1.0e38]}, client={"local_steps": 20, "lr": 0.1})
    told = []
    for _ in range(2):
        assert main(["sweep", scenario, "-q", "--out", str(tmp_path / "all")]) == 6
        told.append(capsys.readouterr().err)
    assert told[0] == told[1]
    assert "diverged" in told[0]
