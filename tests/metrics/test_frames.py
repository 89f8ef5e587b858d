"""Runs as frames: tidy from a store, wide from rounds.csv, the same numbers to the bit."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedsim.analysis.frames import COLUMNS, load, load_run, rounds
from fedsim.core import ScenarioError
from fedsim.metrics import columns
from fedsim.metrics.rounds_csv import RoundsCsv
from fedsim.store.database import Store
from tests.metrics.conftest import done, started


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A store with two runs, and the folder of the first."""
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    with Store(tmp_path / "runs" / "fedsim.db") as store:
        store.write(
            [
                started("a1", name="one", seed=1, folder=str(folder), wall_time=1.0),
                started("b2", name="two", strategy="mifa", seed=2, wall_time=2.0),
                *(done(r, "a1") for r in (1, 2, 3)),
                *(done(r, "b2", update_norm=float("inf")) for r in (1, 2)),
            ]
        )
    about = {"run": "a1", "name": "one", "strategy": "fedavg", "seed": 1, "store": str(tmp_path / "runs/fedsim.db")}
    (folder / "summary.json").write_text(json.dumps(about))
    with RoundsCsv(folder / "rounds.csv", columns(["train_loss", "test_loss"])) as csv:
        for r in (1, 2, 3):
            csv.add(r, {"train_loss": 1.0 / r})
    return tmp_path / "runs"


def test_a_store_loads_as_one_tidy_row_per_run_round_and_metric(home: Path) -> None:
    frame = load(home / "fedsim.db")
    assert tuple(frame.columns) == COLUMNS
    assert frame[["run", "strategy", "seed", "round", "metric", "value"]].values.tolist() == [
        ["a1", "fedavg", 1, 1, "train_loss", 1.0],
        ["a1", "fedavg", 1, 2, "train_loss", 0.5],
        ["a1", "fedavg", 1, 3, "train_loss", 1 / 3],
        ["b2", "mifa", 2, 1, "update_norm", np.inf],
        ["b2", "mifa", 2, 2, "update_norm", np.inf],
    ]
    assert (frame["round"].dtype, frame["value"].dtype, frame["seed"].dtype) == (np.int64, np.float64, np.int64)


def test_a_store_is_found_by_file_url_folder_and_run_folder(home: Path) -> None:
    whole = load(home / "fedsim.db")
    pd.testing.assert_frame_equal(load(f"sqlite:///{home}/fedsim.db"), whole)
    pd.testing.assert_frame_equal(load(home), whole)
    pd.testing.assert_frame_equal(load(home / "one"), whole[whole["run"] == "a1"])


@pytest.mark.parametrize("word", ["a1", "a", "one"])
def test_runs_are_chosen_by_id_beginning_or_name(home: Path, word: str) -> None:
    assert set(load(home, runs=[word])["run"]) == {"a1"}


def test_metrics_can_be_chosen(home: Path) -> None:
    assert set(load(home, metrics=["update_norm"])["run"]) == {"b2"}


def test_an_unknown_run_is_refused_with_those_that_exist(home: Path) -> None:
    with pytest.raises(ScenarioError, match=r"zzz: no run of this id, name or folder; the latest are: b2 \(two\), a1"):
        load(home, runs=["zzz"])


def test_an_ambiguous_beginning_is_refused(home: Path) -> None:
    with Store(home / "fedsim.db") as store:
        store.write([started("a2")])
    with pytest.raises(ScenarioError, match="several runs begin so: "):
        load(home, runs=["a"])


@pytest.mark.parametrize("place", ["nothing.db", "."])
def test_a_place_without_a_store_is_refused_and_stays_empty(tmp_path: Path, place: str) -> None:
    with pytest.raises(ScenarioError, match=r"no store here|neither a run folder"):
        load(tmp_path / place)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_store_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("certainly no database, but long enough to have the header of one" * 20)
    with pytest.raises(ScenarioError, match="cannot be read as a store: file is not a database"):
        load(tmp_path / "x.db")


def test_an_empty_store_loads_as_an_empty_frame(tmp_path: Path) -> None:
    Store(tmp_path / "fedsim.db").close()
    frame = load(tmp_path / "fedsim.db")
    assert (tuple(frame.columns), len(frame)) == (COLUMNS, 0)


def test_rounds_is_the_csv_as_a_wide_frame_to_the_bit(home: Path) -> None:
    frame = rounds(home / "one")
    assert frame["round"].tolist() == [1, 2, 3]
    assert frame["train_loss"].tolist() == [1.0, 0.5, 1 / 3]
    assert frame["test_loss"].isna().all()


def test_rounds_of_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"is .* a run folder"):
        rounds(tmp_path)


def test_a_run_loads_the_same_from_its_store_and_without_it(home: Path) -> None:
    stored = load_run(home / "one")
    (home / "fedsim.db").unlink()
    pd.testing.assert_frame_equal(load_run(home / "one"), stored)


def test_a_run_whose_rows_still_wait_in_a_spool_is_read_from_its_folder(home: Path) -> None:
    (home / "one" / "spool.jsonl").touch()
    with Store(home / "fedsim.db") as store:
        store.write([done(1, "a1", train_loss=99.0)])
    assert load_run(home / "one")["value"].tolist() == [1.0, 0.5, 1 / 3]
