"""fedsim runs and fedsim export, through the command line."""

from pathlib import Path

import pandas as pd
import pytest

from fedsim.analysis.frames import load
from fedsim.cli import main
from fedsim.metrics import RunEnded
from fedsim.store.database import Store
from tests.metrics.conftest import done, started


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose default store holds two runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "one").mkdir(parents=True)
    final = {"final": {"test_accuracy": 0.875, "test_loss": 0.5}}
    with Store("runs/fedsim.db") as store:
        store.write([started("a1", name="one", folder=str(tmp_path / "runs/one"), wall_time=1.0), done(1, "a1")])
        store.write([RunEnded(run="a1", status="completed", summary=final)])
        store.write([started("b2", name="[b]a-long-name-" * 12, seed=2, wall_time=2.0), done(3, "b2", train_loss=0.1)])
    return tmp_path


def test_runs_lists_the_latest_first_and_cuts_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "b2", "a1"]
    assert lines[1].split()[1:6] == ["[b]a-long-name-" * 12, "fedavg", "2", "running", "3/5"]
    assert lines[2].split()[4:6] == ["completed", "1/5"]
    assert lines[2].split()[-2:] == ["0.8750", "0.5"]


def test_runs_can_be_limited(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--limit", "1", "--store", str(home / "runs")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 more; --limit shows them"


def test_runs_without_a_store_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 2
    assert (
        capsys.readouterr().err
        == f"{tmp_path}/runs/fedsim.db: there is no store here; a run makes one, and `fedsim new` a scenario to run\n"
    )


def test_export_writes_the_same_values_as_csv_and_parquet(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "a1", "b2", "--out", "x.csv"]) == 0
    assert main(["export", "a1", "b2", "--format", "parquet", "--out", "x"]) == 0
    expected = load("runs/fedsim.db")
    pd.testing.assert_frame_equal(pd.read_csv("x.csv"), expected)
    pd.testing.assert_frame_equal(pd.read_parquet("x"), expected)
    assert capsys.readouterr().out.splitlines() == ["2 values of 2 runs in x.csv", "2 values of 2 runs in x"]


def test_export_takes_a_run_folder_and_finds_its_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home / "runs")
    assert main(["export", "one", "--out", "x.csv", "--metric", "train_loss"]) == 0
    assert set(pd.read_csv("x.csv")["run"]) == {"a1"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["a1", "--out", "x.txt"], "txt was given; allowed are csv and parquet"),
        (["zzz", "--out", "x.csv"], "zzz: no run of this id, name or folder"),
        (["a1", "--out", "x.csv", "--store", "none.db"], "there is no store here"),
    ],
)
def test_a_wrong_export_is_refused_and_writes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], args: list[str], words: str
) -> None:
    assert main(["export", *args]) == 2
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in home.iterdir()) == ["runs"]


def test_an_empty_store_says_how_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(tmp_path / "fedsim.db"):
        pass
    assert main(["runs", "--store", str(tmp_path / "fedsim.db")]) == 0
    told = capsys.readouterr().out
    assert "no runs yet; `fedsim new mine`" in told
    assert "`fedsim demo`" in told
