"""The store on both databases: idempotent, whole batches only, and strict about what it opens."""

import math
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.exc import DatabaseError, OperationalError

from fedsim.core import ScenarioError
from fedsim.metrics import Evaluated, Notice, RolledBack, RoundDone, RunEnded
from fedsim.metrics.address import parse, shown
from fedsim.store.database import Store
from fedsim.store.schema import StoreError
from tests.metrics.conftest import done, started


def test_values_come_back_bit_for_bit(store: Store) -> None:
    given = {"train_loss": 0.1 + 0.2, "update_norm": math.inf, "update_variance": 5e-324, "cohort_size": 3.0}
    store.write([started(), RoundDone(run="a", round=1, values=given)])
    assert {metric: value for _, _, metric, value in store.values()} == given


def test_nan_stays_nan(store: Store) -> None:
    store.write([started(), done(1, train_loss=math.nan)])
    ((_, _, _, value),) = store.values()
    assert math.isnan(value)


def test_an_event_told_twice_changes_nothing(store: Store) -> None:
    told = [
        started(),
        RoundDone(run="a", round=1, values={"train_loss": 1.0}, vectors={"participants": np.arange(3)}),
        Notice(run="a", round=1, kind="crash", text="boom", client=2),
        Evaluated(run="a", round=1, values={"test_loss": 2.0}),
        RunEnded(run="a", status="completed", summary={"rounds": 1}),
    ]
    store.write(told)
    before = store.runs(), store.values(), store.notices("a"), len(store.vectors("a", "participants"))
    store.write(told)
    store.write(told + told)
    assert (store.runs(), store.values(), store.notices("a"), len(store.vectors("a", "participants"))) == before


def test_a_batch_is_written_whole_or_not_at_all(store: Store) -> None:
    store.write([started()])
    with pytest.raises(TypeError):
        store.write([done(1), RoundDone(run="a", round=2, values={"train_loss": None})])  # type: ignore[dict-item]
    assert store.values() == []


def test_the_later_value_of_a_key_wins_within_and_across_batches(store: Store) -> None:
    store.write([started(), done(1, train_loss=1.0), done(1, train_loss=2.0)])
    assert store.values() == [("a", 1, "train_loss", 2.0)]
    store.write([done(1, train_loss=3.0)])
    assert store.values() == [("a", 1, "train_loss", 3.0)]


def test_a_rollback_removes_later_rounds_of_its_run_only(store: Store) -> None:
    store.write([started("a"), started("b"), *(done(r, run) for run in "ab" for r in range(1, 6))])
    store.write([RolledBack(run="a", round=2)])
    assert [(run, round) for run, round, _, _ in store.values()] == [("a", r) for r in (1, 2)] + [
        ("b", r) for r in range(1, 6)
    ]
    assert {row.run: row.round for row in store.runs()} == {"a": 2, "b": 5}


def test_a_rollback_inside_a_batch_keeps_the_order_of_events(store: Store) -> None:
    store.write([started(), done(1), done(2, train_loss=9.0), RolledBack(run="a", round=1), done(2, train_loss=4.0)])
    assert [(round, value) for _, round, _, value in store.values()] == [(1, 1.0), (2, 4.0)]


def test_a_rollback_voids_notices_about_clients_and_keeps_the_history_of_hosts(store: Store) -> None:
    crash = Notice(run="a", round=3, kind="crash", text="c", client=1)
    store.write([started(), crash, Notice(run="a", round=3, kind="host-lost", text="h", host="host-0")])
    store.write([RolledBack(run="a", round=2)])
    assert [(n["kind"], n["client"], n["host"]) for n in store.notices("a")] == [("host-lost", None, "host-0")]


def test_two_attempts_of_one_retry_are_two_notices(store: Store) -> None:
    retry = [Notice(run="a", round=1, kind="retry", text="again", host="h", attempt=k) for k in (1, 2)]
    store.write([started(), *retry])
    assert [n["attempt"] for n in store.notices("a")] == [1, 2]


def test_vectors_keep_dtype_shape_and_bits(store: Store) -> None:
    given = [np.arange(5, dtype=np.int32), np.zeros((0, 3), np.float32), np.array([[1.5, -0.0]]), np.array([True])]
    rounds = [RoundDone(run="a", round=r, values={}, vectors={"v": array}) for r, array in enumerate(given, 1)]
    store.write([started(), *rounds])
    found = store.vectors("a", "v")
    assert list(found) == [1, 2, 3, 4]
    for array, back in zip(given, found.values(), strict=True):
        assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert list(store.vectors("a", "v", first=2, last=3)) == [2, 3]


def test_a_run_that_starts_again_keeps_its_beginning_and_its_progress(store: Store) -> None:
    store.write([started(wall_time=10.0), done(3), RunEnded(run="a", status="interrupted")])
    store.write([started(wall_time=99.0)])
    (row,) = store.runs()
    assert (row.started, row.updated, row.round, row.status, row.ended) == (10.0, 99.0, 3, "running", None)


def test_the_end_of_a_run_is_in_its_row(store: Store) -> None:
    store.write([started(), RunEnded(run="a", status="completed", summary={"final": {"test_loss": math.inf}})])
    (row,) = store.runs()
    assert (row.status, row.summary) == ("completed", {"final": {"test_loss": "inf"}})


def test_any_text_and_any_seed_are_stored(store: Store) -> None:
    store.write([started(name="<b>'\"; DROP TABLE runs\0\ud800", seed=2**70)])
    (row,) = store.runs()
    assert row.name == "<b>'\"; DROP TABLE runs\ufffd?"
    assert row.seed == 2**70


def test_values_can_be_chosen_by_run_metric_and_round(store: Store) -> None:
    rounds = [done(r, run, train_loss=0.5, update_norm=1.0) for run in "ab" for r in (1, 2, 3)]
    store.write([started("a"), started("b"), *rounds])
    found = store.values(runs=["b"], metrics=["update_norm"], since=2)
    assert found == [("b", 2, "update_norm", 1.0), ("b", 3, "update_norm", 1.0)]


def test_opening_again_finds_the_rows(address: str) -> None:
    with Store(address) as store:
        store.write([started(), done(1)])
    with Store(address, create=False) as store:
        assert len(store.values()) == 1


def test_a_newer_store_is_refused(store: Store, address: str) -> None:
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE fedsim_schema SET version = 99")
    for create in (True, False):
        with pytest.raises(StoreError, match="schema version 99, this fedsim reads version 1"):
            Store(address, create=create)


def test_somebody_elses_table_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "theirs.db"
    with sqlite3.connect(file) as theirs:
        theirs.execute("CREATE TABLE runs (x)")
    theirs.close()
    with pytest.raises(StoreError, match="table runs that is not fedsim's"):
        Store(file)


def test_a_database_without_runs_is_refused_for_reading(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    with pytest.raises(StoreError, match="holds no runs"):
        Store(tmp_path / "empty.db", create=False)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "garbage.db"
    file.write_bytes(b"this is not a database, and it is long enough to have a header" * 20)
    with pytest.raises(DatabaseError, match="not a database"):
        Store(file)
    assert file.read_bytes().startswith(b"this is not")


def test_a_missing_file_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="there is no store here"):
        Store(tmp_path / "none.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_full_database_keeps_what_it_had(tmp_path: Path) -> None:
    with Store(tmp_path / "small.db") as store:
        store.write([started(), done(1)])
        with store.writing() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 20")
        with pytest.raises(OperationalError, match="full"):
            store.write([RoundDone(run="a", round=2, values={}, vectors={"v": np.zeros(100_000)})])
        assert [round for _, round, _, _ in store.values()] == [1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("mysql://x/y", "mysql is no kind of store"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("  ", "empty"),
        ("://", "not a URL"),
    ],
)
def test_an_address_that_is_none_is_refused_in_words(given: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        parse(given)


def test_relative_files_start_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert {shown(parse(form)) for form in ("runs/x.db", "sqlite:///runs/x.db")} == {str(tmp_path / "runs/x.db")}


def test_a_password_is_never_shown() -> None:
    assert shown(parse("postgresql://me:secret@db:5432/fedsim")) == "postgresql://me:***@db:5432/fedsim"


def test_readers_go_on_while_a_run_writes(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        store.write([started(), done(1)])
        with store.writing() as connection, Store(tmp_path / "x.db", create=False) as reader:
            connection.exec_driver_sql("DELETE FROM metrics")
            assert len(reader.values()) == 1


def test_a_store_opened_for_reading_cannot_be_changed(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    Store(file).close()
    with Store(file, create=False) as reader, pytest.raises(OperationalError, match="readonly"):
        reader.write([started()])


def test_a_store_in_a_folder_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "with space?#%.db"
    with Store(file) as store:
        store.write([started(), done(1)])
    # root may write everywhere: say it may not, and see that nothing appears beside the file
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with Store(file, create=False) as reader:
        assert len(reader.values()) == 1
        assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_server_that_dropped_its_connections_is_reached_again(postgres: str, address: str) -> None:
    with Store(address) as store:
        store.write([started(), done(1)])
        if address == postgres:
            with Store(address) as other, other.writing() as connection:
                everybody = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                connection.exec_driver_sql(f"{everybody} AND backend_type = 'client backend'")
        store.write([done(2)])
        assert len(store.values()) == 2
