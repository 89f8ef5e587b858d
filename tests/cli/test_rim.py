"""Names that strangers gave neither steer a terminal nor become formulas."""

from pathlib import Path

import pandas as pd
import pytest

from fedsim.cli import main
from fedsim.metrics import Evaluated, RunStarted
from fedsim.metrics.csv_text import harmless
from fedsim.metrics.store import Store

STEERING = "\x1b]0;owned\x07\x9b2J\u202e"


def _store(folder: Path, name: str, wall_time: float = 1.0) -> str:
    place = str(folder / "fedsim.db")
    with Store(place) as store:
        begun = RunStarted(run="a", name=name, strategy=name, seed=1, num_clients=1, rounds=1, wall_time=wall_time)
        store.write([begun, Evaluated(run="a", round=1, values={"test_accuracy": -0.5}, wall_time=wall_time)])
    return place


def test_a_name_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--store", _store(tmp_path, STEERING)]) == 0
    shown = capsys.readouterr().out
    assert not set(STEERING[:1] + "\x07\x9b\u202e") & set(shown)
    assert "owned" in shown


def test_an_error_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(tmp_path / f"{STEERING}.yaml")]) == 2
    assert not set("\x1b\x07\x9b\u202e") & set(capsys.readouterr().err)


@pytest.mark.parametrize("wall_time", [1e300, -1e300, float("inf")])
def test_a_run_of_no_calendar_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str], wall_time: float) -> None:
    assert main(["runs", "--store", _store(tmp_path, "toy", wall_time)]) == 0
    assert "toy" in capsys.readouterr().out


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_a_name_is_no_formula_in_an_export_and_numbers_stay(tmp_path: Path, first: str) -> None:
    kept = f"'{first}cmd".replace("\r", " ")
    assert harmless(f"{first}cmd") == kept
    out = tmp_path / "out.csv"
    assert main(["export", "a", "--out", str(out), "--store", _store(tmp_path, f"{first}cmd")]) == 0
    row = pd.read_csv(out).iloc[0]
    assert (row["name"], row["strategy"], row["value"]) == (kept, kept, -0.5)
