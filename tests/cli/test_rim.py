"""Names that strangers gave neither steer a terminal nor become formulas."""

import os
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TextIO, cast

import numpy as np
import pandas as pd
import pytest

import fedsim
from fedsim.analysis.comparison_files import write
from fedsim.cli import main
from fedsim.core.system.terminal import Rim, as_written
from fedsim.metrics import Evaluated, RunStarted
from fedsim.metrics.csv_text import harmless
from fedsim.store.database import Store

pytestmark = pytest.mark.slow

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


SCENARIO = r"""
name: "\e]0;owned\a\x9b2J\u202e[red]"
rounds: 2
data: {dataset: quadratic, centers: [[0.0], [2.0], [6.0]], noise: 1.0}
model: {name: point, init: [4.0]}
client: {local_steps: 1, lr: 0.5}
participation: {kind: bernoulli, probabilities: 0.5}
"""


@pytest.mark.parametrize(
    "command",
    ["validate", "plan", "data", "participation", "run --out out", "profile --rounds 2", "sweep --out out",
     "compare --strategies fedavg,mifa --seeds 2 --out out"],
)  # fmt: skip
def test_the_name_of_a_scenario_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    swept = "sweep: {seed: [1, 2]}\n" if command.startswith("sweep") else ""
    Path("s.yaml").write_text(SCENARIO + swept)
    name, *options = command.split()
    assert main([name, "s.yaml", *options]) == 0
    shown = capsys.readouterr()
    assert shown.out
    assert not set("\x1b\x07\x9b\u202e") & set(shown.out + shown.err)


@pytest.mark.parametrize("command", ["participation", "profile --rounds 2", "run --out out"])
def test_the_name_of_a_scenario_is_shown_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SCENARIO)
    name, *options = command.split()
    assert main([name, "s.yaml", *options]) == 0
    assert r"\x1b]0;owned\x07\x9b2J\u202e[red]: " in capsys.readouterr().out


def test_no_text_of_a_sweep_is_a_formula(tmp_path: Path) -> None:
    Path(tmp_path / "s.yaml").write_text(SCENARIO + 'sweep: {name: ["=1+1", "@cmd", plain], seed: [1]}\n')
    assert main(["sweep", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    table = pd.read_csv(tmp_path / "out" / "sweep.csv")
    assert list(table["name"]) == ["'=1+1", "'@cmd", "plain"]
    assert list(table["seed"]) == [1, 1, 1]


def test_no_text_of_a_comparison_is_a_formula_and_numbers_stay(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    found = fedsim.compare(str(tmp_path / "s.yaml"), ["fedavg", "mifa"], seeds=2, out=tmp_path / "out")
    named = {"fedavg": "=cmd", "mifa": "+cmd"}
    entries = tuple(replace(entry, label=named[entry.label]) for entry in found.entries)
    strategies = {named[label]: rule for label, rule in found.strategies.items()}
    renamed = replace(found, strategies=strategies, entries=entries, baseline="=cmd")
    write(renamed)
    table = pd.read_csv(tmp_path / "out" / "comparison.csv", index_col="strategy")
    assert list(table.index) == ["'=cmd", "'+cmd"]
    numbers = renamed.table.select_dtypes("number")
    np.testing.assert_array_equal(table[numbers.columns].to_numpy(), numbers.to_numpy())
    assert (numbers < 0).any(axis=None)


@pytest.mark.parametrize("command", ["data", "plan"])
def test_a_name_cannot_steer_a_terminal_of_another_encoding(command: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    told = subprocess.run(
        [sys.executable, "-m", "fedsim", command, "s.yaml"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert told.returncode == 0, told.stderr.decode()
    assert told.stdout.isascii()
    assert b"\x1b" not in told.stdout
    assert b"owned" in told.stdout


def test_a_program_of_the_users_own_keeps_its_colours(capsys: pytest.CaptureFixture[str]) -> None:
    with redirect_stdout(cast(TextIO, Rim(sys.stdout))):
        sys.stdout.write("\x1b[92mours\n")
        with as_written():
            sys.stdout.write("\x1b[92mtheirs\n")
    assert capsys.readouterr().out == "\\x1b[92mours\n\x1b[92mtheirs\n"
