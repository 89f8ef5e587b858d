"""A run goes on under the token that began it; nobody else writes into it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from fedsim.metrics import Event
from fedsim.metrics.event_json import to_json
from fedsim.metrics.sinks.remote import SPOOL, HttpSink
from fedsim.service.app import create_app
from fedsim.service.guard import Access
from fedsim.store.database import Store
from fedsim.store.senders import named
from tests.service.conftest import Client, begun, listening, round_done, whole

ALICE, BOB = "token of alice", "token of bob"
BOTH = f"{ALICE}, {BOB}"


def _client(store: Store, token: str | None) -> Client:
    return Client(create_app(store, Access(token=token, hosts=("lab",))), "lab")


def _send(client: Client, token: str | None, *events: Any) -> httpx.Response:
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return client.post("/api/events", content=f"[{','.join(map(to_json, events))}]", headers=headers)


def _owners(store: Store) -> dict[str, str]:
    with closing(sqlite3.connect(str(store.url.database))) as connection:
        return dict(connection.execute("SELECT run, sender FROM fedsim_senders").fetchall())


def test_each_of_several_tokens_opens_and_so_does_the_variable_as_it_is(store: Store) -> None:
    client = _client(store, BOTH)
    for token, status in ((ALICE, 200), (BOB, 200), (BOTH, 200), ("", 401), (",", 401), (f"{ALICE},", 401)):
        assert client.get("/api/runs", headers={"authorization": f"Bearer {token}"}).status_code == status


def test_each_of_several_tokens_logs_a_browser_in(store: Store) -> None:
    client = _client(store, BOTH)
    for token in (ALICE, BOB):
        cookie = client.post("/login", data={"token": token}).headers["set-cookie"].partition(";")[0]
        assert client.get("/api/runs", headers={"cookie": cookie}).status_code == 200
        body = f"[{to_json(begun(named(token)))}]"
        told = {"cookie": cookie, "content-type": "application/json"}
        assert client.post("/api/events", content=body, headers=told).status_code == 200
    assert _owners(store) == {named(token): named(token) for token in (ALICE, BOB)}


def test_a_run_goes_on_under_its_token(store: Store) -> None:
    client = _client(store, BOTH)
    events = whole("a")
    for event in events:
        assert _send(client, ALICE, event).status_code == 200
    assert _send(client, ALICE, *events).status_code == 200
    assert store.runs()[0].status == "completed"
    assert _owners(store) == {"a": named(ALICE)}


@pytest.mark.parametrize("token", [BOB, BOTH])
def test_a_token_cannot_write_into_the_run_of_another(store: Store, token: str) -> None:
    client = _client(store, BOTH)
    _send(client, ALICE, *whole("a"))
    kept = store.runs(), store.values()
    for event in (begun("a", name="mine"), *whole("a", level=0.9)[1:]):
        answer = _send(client, token, event)
        assert answer.status_code == 403
        assert answer.json() == {"detail": "the run a was begun by another sender; nothing of this was recorded"}
    assert (store.runs(), store.values()) == kept


def test_a_run_that_a_process_of_this_machine_wrote_is_nobodys_to_send(store: Store) -> None:
    store.write([begun("a")])
    assert _send(_client(store, ALICE), ALICE, round_done("a", 1)).status_code == 403
    assert store.values() == []


def test_one_foreign_run_refuses_all_that_came_with_it(store: Store) -> None:
    client = _client(store, BOTH)
    _send(client, ALICE, begun("a"))
    assert _send(client, BOB, begun("b"), round_done("a", 1)).status_code == 403
    assert [row.run for row in store.runs()] == ["a"]
    assert _owners(store) == {"a": named(ALICE)}


def test_without_a_token_runs_of_this_machine_go_on_and_those_of_a_token_do_not(store: Store) -> None:
    store.write([begun("here")])
    _send(_client(store, ALICE), ALICE, begun("there"))
    client = _client(store, None)
    assert _send(client, None, round_done("here", 1), begun("new")).status_code == 200
    assert _send(client, None, round_done("there", 1)).status_code == 403


def test_an_old_store_gains_the_table_and_keeps_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "fedsim.db"
    with Store(file) as opened:
        opened.write(whole("a"))  # type: ignore[arg-type]
        kept = opened.runs(), opened.values()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE fedsim_senders")
        connection.commit()
    with Store(file) as opened:
        assert (opened.runs(), opened.values()) == kept
        assert _owners(opened) == {}
        assert _send(_client(opened, ALICE), ALICE, begun("b")).status_code == 200
        assert _owners(opened) == {"b": named(ALICE)}


def test_a_sink_that_is_refused_says_so_once_and_keeps_its_spool(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = [begun("a"), round_done("a", 1), round_done("a", 2)]
    with listening(store, Access(token=BOTH)) as address:
        ours = HttpSink(address, tmp_path / "ours" / SPOOL, token=ALICE)
        (tmp_path / "ours").mkdir()
        ours.write(events[:2])
        ours.close()
        (tmp_path / "theirs").mkdir()
        theirs = HttpSink(address, tmp_path / "theirs" / SPOOL, token=BOB)
        for event in events:
            theirs.write([event])
            theirs._retry_at = 0.0
            theirs.tick()
        theirs.close()
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert "it answered 403: the run a was begun by another sender" in told[0]
    assert (tmp_path / "theirs" / SPOOL).read_text().splitlines()[1:] == [*map(to_json, events)]
    assert store.runs()[0].round == 1


def test_a_refusal_is_told_even_after_the_service_was_away(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.write([begun("a")])
    with listening(store, Access(token=ALICE)) as address:
        sink = HttpSink("http://127.0.0.1:9", tmp_path / SPOOL, token=ALICE)
        sink.write([round_done("a", 1)])
        sink._parts = HttpSink(address, tmp_path / "other" / SPOOL)._parts
        sink._retry_at = 0.0
        sink.tick()
        sink.close()
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert ["it answered 403" in text for text in told] == [False, True]
