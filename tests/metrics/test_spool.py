"""Events that wait in a spool: durable, in order, whole, delivered once."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.metrics import Event, Notice, RolledBack, RoundDone, RunEnded
from fedsim.metrics.event_json import from_json, to_json
from fedsim.metrics.spool import CHUNK, Spool
from fedsim.store.database import Store
from fedsim.store.sink import deliver
from tests.metrics.conftest import done, started


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool.jsonl", "here.db")
    yield opened
    opened.close()


def test_what_was_appended_is_delivered_in_order_and_the_file_is_gone(spool: Spool) -> None:
    events = [started(), *(done(r) for r in range(1, 2 * CHUNK + 10))]
    spool.append(events[:3])
    spool.append(events[3:])
    found: list[Event] = []
    assert spool.deliver(found.extend) == len(events)
    assert found == events
    assert not spool.waiting
    assert not spool.path.exists()


def test_nothing_waits_without_a_file(spool: Spool) -> None:
    assert not spool.waiting
    assert spool.deliver(lambda events: None) == 0
    assert not spool.path.exists()


def test_a_delivery_that_fails_halfway_goes_on_where_it_stopped(spool: Spool) -> None:
    spool.append([done(r) for r in range(1, CHUNK + 3)])
    found: list[Event] = []

    def refuse_the_second(events: Sequence[Event]) -> None:
        if found:
            raise sqlite3.OperationalError("locked")
        found.extend(events)

    with pytest.raises(sqlite3.OperationalError):
        spool.deliver(refuse_the_second)
    assert spool.deliver(found.extend) == 2
    assert [event.round for event in found if isinstance(event, RoundDone)] == list(range(1, CHUNK + 3))


def test_another_process_starts_from_what_a_killed_one_left(spool: Spool) -> None:
    spool.append([started(), done(1)])
    spool.close()
    found: list[Event] = []
    assert Spool(spool.path).deliver(found.extend) == 2


def test_the_spool_of_a_living_run_is_left_alone(spool: Spool, tmp_path: Path) -> None:
    spool.append([done(1)])
    with pytest.raises(BlockingIOError):
        deliver(spool.path, tmp_path / "fedsim.db")
    assert spool.waiting


@pytest.mark.parametrize("tail", [b'{"event":"RoundDone","run":"a"', b"x" * 200_000])
def test_a_line_that_a_killed_process_did_not_finish_is_cut_off(spool: Spool, tail: bytes) -> None:
    spool.append([done(1)])
    spool.close()
    with spool.path.open("ab") as file:
        file.write(tail)
    again = Spool(spool.path)
    again.append([done(2)])
    found: list[Event] = []
    assert again.deliver(found.extend) == 2


def test_a_line_that_is_no_event_is_set_aside_and_the_rest_delivered(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    spool.append([done(1)])
    spool.close()
    with spool.path.open("ab") as file:
        file.write(b'{"event":"Nonsense"}\n')
    found: list[Event] = []
    assert Spool(spool.path).deliver(found.extend) == 1
    assert spool.path.with_suffix(".unreadable").read_bytes() == b'{"event":"Nonsense"}\n'
    assert "a line is no event" in caplog.text


def test_the_spool_says_which_store_it_waits_for(spool: Spool) -> None:
    spool.append([done(1)])
    assert spool.intended() == "here.db"


def test_deliver_brings_a_spool_into_a_store_and_a_second_time_does_nothing(store: Store, spool: Spool) -> None:
    spool.append([started(), done(1), done(2), RolledBack(run="a", round=1), done(2, train_loss=7.0)])
    content = spool.path.read_bytes()
    spool.close()
    assert deliver(spool.path, store) == 5
    assert deliver(spool.path, store) == 0
    before = store.values()
    spool.path.write_bytes(content)  # as after a kill between the store's commit and the file's removal
    assert deliver(spool.path, store) == 5
    assert store.values() == before == [("a", 1, "train_loss", 1.0), ("a", 2, "train_loss", 7.0)]


def test_a_killed_process_lets_go_of_its_lock(spool: Spool) -> None:
    program = (
        "import os, sys\n"
        "from fedsim.metrics import RolledBack\n"
        "from fedsim.metrics.spool import Spool\n"
        "Spool(sys.argv[1]).append([RolledBack(run='a', round=1)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, spool.path], timeout=60).returncode == -9
    assert spool.deliver(lambda events: None) == 1


finite = st.floats(allow_nan=False)
texts = st.text(max_size=20).filter(lambda text: "\ud800" not in text)
events = st.one_of(
    st.builds(
        RoundDone, run=texts, round=st.integers(0, 2**40), values=st.dictionaries(texts, finite), wall_time=finite
    ),
    st.builds(RolledBack, run=texts, round=st.integers(0, 2**40), wall_time=finite.filter(lambda x: abs(x) < 1e300)),
    st.builds(Notice, run=texts, round=st.integers(), kind=texts, text=texts, client=st.none() | st.integers(0)),
    st.builds(RunEnded, run=texts, status=texts, summary=st.dictionaries(texts, st.none() | st.integers() | texts)),
)


@given(events)
def test_an_event_survives_json(event: Event) -> None:
    assert from_json(to_json(event)) == event or "inf" in to_json(event)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_value_that_is_not_finite_survives_json(value: float) -> None:
    back = from_json(to_json(done(1, train_loss=value)))
    assert isinstance(back, RoundDone)
    np.testing.assert_equal(back.values["train_loss"], value)


def test_vectors_survive_json() -> None:
    vector = np.array([[1.5, np.nan], [-0.0, np.inf]])
    back = from_json(to_json(RoundDone(run="a", round=1, values={}, vectors={"v": vector})))
    assert isinstance(back, RoundDone)
    assert (back.vectors["v"].tobytes(), back.vectors["v"].shape) == (vector.tobytes(), (2, 2))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "7",
        "{",
        '{"event":"RoundDone"}',
        '{"event":["RoundDone"]}',
        '{"event":"RolledBack","run":"a","round":1,"more":2}',
        '{"event":"RoundDone","run":"a","round":1,"values":{"x":"abc"}}',
        '{"event":"RoundDone","run":"a","round":1,"values":[1]}',
        '{"event":"RoundDone","run":"a","round":1,"values":{},"vectors":{"v":{"dtype":"O","shape":[1],"data":""}}}',
        '{"event":"RoundDone","run":"a","round":1,"values":{},"vectors":{"v":{"dtype":"<f8","shape":[9],"data":""}}}',
        '{"event":"RoundDone","run":"a","round":1,"values":{},"vectors":{"v":{"dtype":"<f8","shape":[0],"data":"%"}}}',
    ],
)
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(line)
