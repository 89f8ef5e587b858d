"""Recording never slows or stops a run, and loses nothing: the store locked, full, broken, gone, and back again."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from fedsim.core import ScenarioError
from fedsim.metrics import Event, RoundDone, RunEnded
from fedsim.metrics.recorder import Recorder
from fedsim.metrics.sinks.base import Sink
from fedsim.metrics.spool import Spool
from fedsim.store.database import Store
from fedsim.store.sink import Database
from tests.metrics.conftest import done, started

Table = list[tuple[str, int, str, float]]


def table(path: Path | str) -> Table:
    with Store(path, create=False) as store:
        return store.values()


def expected(rounds: int) -> Table:
    return [("a", r, "train_loss", 1.0 / r) for r in range(1, rounds + 1)]


def tell(recorder: Recorder, first: int, last: int) -> None:
    for r in range(first, last + 1):
        recorder.emit(done(r))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "fedsim.db"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "runs" / "one").mkdir(parents=True)
    return tmp_path / "runs" / "one" / "spool.jsonl"


@pytest.fixture
def database(file: Path, spool: Path) -> Callable[[], Database]:
    return lambda: Database(file, spool, busy_s=0.05)


LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
connection.close()
"""


@pytest.fixture
def lock(file: Path) -> Iterator[Callable[[], Callable[[], None]]]:
    """Let another process hold BEGIN EXCLUSIVE; the function that is returned makes it let go."""
    with ExitStack() as stack:

        def locked() -> Callable[[], None]:
            command = [sys.executable, "-c", LOCKER, str(file)]
            other = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            assert other.stdout is not None
            assert other.stdout.readline() == b"locked\n"
            return lambda: other.communicate(b"go\n", timeout=60) and None

        yield locked


class Listening(Sink):
    """Keeps what it hears."""

    interval_s = 0.0

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.rescued: list[Event] = []
        self.closed = False

    def write(self, events: Sequence[Event]) -> None:
        self.heard.extend(events)

    def close(self) -> None:
        self.closed = True

    def rescue(self, events: Sequence[Event]) -> None:
        self.rescued.extend(events)


class Hanging(Listening):
    """Hangs in `write` until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.release = threading.Event(), threading.Event()

    def write(self, events: Sequence[Event]) -> None:
        self.entered.set()
        self.release.wait(60)
        super().write(events)


class Raising(Listening):
    """Fails at once."""

    def write(self, events: Sequence[Event]) -> None:
        raise RuntimeError("the port is taken")


def test_flush_waits_until_every_sink_has_read_everything() -> None:
    sinks = [Listening(), Listening()]
    with Recorder(sinks) as recorder:
        tell(recorder, 1, 100)
        assert recorder.flush()
        assert [[e.round for e in sink.heard if isinstance(e, RoundDone)] for sink in sinks] == [
            list(range(1, 101))
        ] * 2


def test_closing_reads_everything_and_finishes_the_sinks() -> None:
    sink = Listening()
    recorder = Recorder([sink])
    tell(recorder, 1, 5)
    assert recorder.close()
    assert recorder.close()
    assert recorder.flush()
    assert (len(sink.heard), sink.closed) == (5, True)


def test_a_value_that_is_not_registered_is_our_mistake() -> None:
    with Recorder([]) as recorder, pytest.raises(AssertionError, match="no_such_metric"):
        recorder.emit(done(1, no_such_metric=1.0))


def test_a_sink_that_fails_is_left_out_with_one_warning_and_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    good = Listening()
    with Recorder([Raising(), good]) as recorder:
        tell(recorder, 1, 1)
        recorder.flush()
        tell(recorder, 2, 2)
        recorder.flush()
    assert len(good.heard) == 2
    assert caplog.text.count("the port is taken") == 1


def test_a_sink_that_hangs_neither_slows_the_run_nor_loses_what_it_did_not_read() -> None:
    sink = Hanging()
    recorder = Recorder([sink])
    tell(recorder, 1, 1)
    assert sink.entered.wait(30)
    tell(recorder, 2, 50)
    assert not recorder.flush(timeout_s=0.01)
    assert not recorder.close(timeout_s=0.01)
    assert len(sink.rescued) == 50
    sink.release.set()


def test_a_quiet_run_is_in_the_store_and_leaves_no_spool(
    database: Callable[[], Database], file: Path, spool: Path
) -> None:
    with Recorder([database()]) as recorder:
        recorder.emit(started())
        tell(recorder, 1, 20)
        recorder.flush()
        assert table(file) == expected(20)
        recorder.emit(RunEnded(run="a", status="completed"))
    assert not spool.exists()
    with Store(file, create=False) as store:
        assert [row.status for row in store.runs()] == ["completed"]


@pytest.mark.slow
def test_a_run_on_postgresql_is_in_the_store(address: str, tmp_path: Path) -> None:
    with Recorder([Database(address, tmp_path / "spool.jsonl")]) as recorder:
        recorder.emit(started())
        tell(recorder, 1, 20)
    assert table(address) == expected(20)


def test_while_the_store_is_locked_events_wait_in_the_spool_and_come_home_after(
    database: Callable[[], Database],
    file: Path,
    spool: Path,
    lock: Callable[[], Callable[[], None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Recorder([database()]) as recorder:
        recorder.emit(started())
        tell(recorder, 1, 5)
        recorder.flush()
        release = lock()
        tell(recorder, 6, 10)
        assert recorder.flush()
        assert spool.exists()
        tell(recorder, 11, 15)
        assert recorder.flush()
        release()
        tell(recorder, 16, 20)
    assert table(file) == expected(20)
    assert not spool.exists()
    assert caplog.text.count("the run goes on") == 1


def test_a_store_locked_to_the_end_leaves_a_spool_that_the_next_run_brings_home(
    database: Callable[[], Database],
    file: Path,
    spool: Path,
    lock: Callable[[], Callable[[], None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    Store(file).close()
    release = lock()
    with Recorder([database()]) as recorder:
        recorder.emit(started())
        tell(recorder, 1, 10)
    assert f"{spool} holds what the store {file} could not take" in caplog.text
    release()
    assert table(file) == []
    neighbour = Database(file, file.parent / "two" / "spool.jsonl")
    neighbour.write([started("b")])
    neighbour.close()
    assert table(file) == expected(10)
    assert not spool.exists()


def test_a_neighbour_does_not_take_a_spool_that_waits_for_another_store(file: Path, spool: Path) -> None:
    elsewhere = Spool(spool, "postgresql://db/fedsim")
    elsewhere.append([started(), done(1)])
    elsewhere.close()
    neighbour = Database(file, file.parent / "two" / "spool.jsonl")
    neighbour.write([started("b")])
    neighbour.close()
    assert (table(file), spool.exists()) == ([], True)


def test_a_resumed_run_delivers_what_its_killed_self_spooled_before_anything_new(
    database: Callable[[], Database], file: Path, spool: Path
) -> None:
    before = Spool(spool)
    before.append([started(), done(1), done(2, train_loss=9.0), done(3, train_loss=9.0)])
    before.close()
    with Recorder([database()]) as recorder:
        recorder.emit(started())
        recorder.discard_after("a", 1)
        tell(recorder, 2, 3)
    assert table(file) == expected(3)


@pytest.mark.parametrize(
    "content", [b"garbage, and long enough for a header of a database " * 40, b"SQLite format 3\0"]
)
def test_a_file_that_is_no_database_costs_one_warning_and_a_spool(
    database: Callable[[], Database], file: Path, spool: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_bytes(content)
    with Recorder([database()]) as recorder:
        recorder.emit(started())
        tell(recorder, 1, 3)
        recorder.flush()
        tell(recorder, 4, 6)
    assert file.read_bytes() == content
    assert caplog.text.count("the run goes on") == 1
    file.unlink()
    found: list[Event] = []
    assert Spool(spool).deliver(found.extend) == 7


def test_a_folder_in_place_of_the_store_costs_a_spool(
    database: Callable[[], Database], file: Path, spool: Path
) -> None:
    file.mkdir()
    with Recorder([database()]) as recorder:
        recorder.emit(started())
    assert spool.exists()


def test_a_newer_store_is_left_alone(
    database: Callable[[], Database], file: Path, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(file) as store, store.writing() as connection:
        connection.exec_driver_sql("UPDATE fedsim_schema SET version = 2")
    with Recorder([database()]) as recorder:
        recorder.emit(started())
    assert "schema version 2" in caplog.text
    assert spool.exists()


def test_a_full_store_costs_a_spool_and_takes_it_when_there_is_room(
    file: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Database(file, spool)
    sink.write([started(), done(1)])
    assert sink._store is not None
    with sink._store.writing() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 20")
    large = RoundDone(run="a", round=2, values={"train_loss": 0.5}, vectors={"v": np.zeros(100_000)})
    sink.write([large])
    sink.write([done(3)])
    assert table(file) == expected(1)
    sink.close()  # a new connection has no such limit
    assert table(file) == expected(3)
    assert not spool.exists()


def test_a_store_that_was_removed_is_made_anew_and_knows_the_run(file: Path, spool: Path) -> None:
    sink = Database(file, spool)
    sink.write([started(), done(1)])
    for path in file.parent.glob("fedsim.db*"):
        path.unlink()
    sink.write([done(2)])
    sink.close()
    with Store(file, create=False) as store:
        assert [row.run for row in store.runs()] == ["a"]
        assert [round for _, round, _, _ in store.values()] == [2]


def test_when_store_and_spool_both_refuse_events_stay_in_memory(file: Path, tmp_path: Path) -> None:
    file.mkdir(parents=True)
    sink = Database(file, tmp_path / "nowhere" / "spool.jsonl")
    sink.write([started(), done(1)])
    sink.write([done(2)])
    file.rmdir()
    sink.close()
    assert table(file) == expected(2)


def test_an_address_that_is_none_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="mysql"):
        Database("mysql://x/y", tmp_path / "spool.jsonl")


def test_an_unreachable_server_costs_a_spool(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = tmp_path / "spool.jsonl"
    with Recorder([Database("postgresql://fedsim:secret@127.0.0.1:1/none", spool)]) as recorder:
        recorder.emit(started())
    assert spool.exists()
    assert "secret" not in caplog.text


def test_sixteen_recorders_start_one_store_together(tmp_path: Path) -> None:
    file = tmp_path / "runs" / "fedsim.db"
    folders = [tmp_path / "runs" / str(k) for k in range(16)]
    for folder in folders:
        folder.mkdir(parents=True)
    recorders = [Recorder([Database(file, folder / "spool.jsonl")]) for folder in folders]
    for k, recorder in enumerate(recorders):
        recorder.emit(started(str(k)))
        recorder.emit(done(1, str(k)))
    for recorder in recorders:
        assert recorder.close()
    for folder in folders:
        assert not (folder / "spool.jsonl").exists()
    assert len(table(file)) == 16


KILLED = """
import os, sys
from fedsim.metrics import RoundDone, RunStarted
from fedsim.metrics.recorder import Recorder
from fedsim.store.sink import Database
recorder = Recorder([Database(sys.argv[1], sys.argv[2], busy_s=0.05)])
recorder.emit(RunStarted(run="a", name="toy", strategy="fedavg", seed=1, num_clients=3, rounds=5))
for r in range(1, 11):
    recorder.emit(RoundDone(run="a", round=r, values={"train_loss": 1.0 / r}))
assert recorder.flush()
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
@pytest.mark.parametrize("locked", [False, True])
def test_what_was_flushed_before_a_kill_is_in_the_store_exactly_once_after_the_resume(
    database: Callable[[], Database],
    file: Path,
    spool: Path,
    lock: Callable[[], Callable[[], None]],
    locked: bool,
) -> None:
    Store(file).close()
    release = lock() if locked else lambda: None
    assert subprocess.run([sys.executable, "-c", KILLED, file, spool], timeout=60).returncode == -9
    release()
    with Recorder([database()]) as recorder:
        recorder.emit(started())
        recorder.discard_after("a", 8)
        tell(recorder, 9, 12)
    assert table(file) == expected(12)
    assert not spool.exists()
