"""What a stranger sends is refused before it costs anything, and nobody can hold the door."""

import json
import socket
import time
import tracemalloc
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from fedsim.analysis.grouping import flat
from fedsim.service import protocol
from fedsim.service.tally import MOST_EVENTS, Tally
from fedsim.store.database import Store
from tests.service.conftest import Client, begun

pytestmark = pytest.mark.slow

JSON = {"content-type": "application/json"}
ROUND: dict[str, Any] = {"event": "RoundDone", "run": "a", "round": 1, "wall_time": 1.0, "values": {}}


@pytest.mark.parametrize("item", [b"[],", b"{},", b'"",', b'{"":[]},', b"1,"])
@pytest.mark.parametrize("size", [2_400_000, 30_000_000])
def test_many_small_values_are_refused_at_once_and_take_no_memory(client: Client, item: bytes, size: int) -> None:
    async def pieces():  # type: ignore[no-untyped-def]  # as a server reads them
        yield b"["
        for _ in range(size // 60_000):
            yield item * (60_000 // len(item))

    begin = time.process_time()  # a clock on the wall would measure the neighbours, too
    answer = client.post("/api/events", content=pieces(), headers=JSON)
    took = time.process_time() - begin
    tracemalloc.start()  # it slows things down, and so a second time
    client.post("/api/events", content=pieces(), headers=JSON)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == 413
    assert took < 1.0
    assert peak < 20_000_000


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_count_does_not_depend_on_how_a_body_is_cut(size: int) -> None:
    text = json.dumps([{"a": 'x\\"],[{', "b": "\\", "c": ["{", "}"]}, [], {}, [[]]]).encode()
    tally = Tally()
    for at in range(0, len(text), size):
        tally.take(text[at : at + size])
    assert tally.events == 4


def test_as_many_events_as_are_allowed_are_taken(client: Client) -> None:
    told = [{**ROUND, "round": k} for k in range(MOST_EVENTS)]
    assert client.post("/api/events", json=told).json() == {"recorded": MOST_EVENTS}
    assert client.post("/api/events", json=[*told, ROUND]).status_code == 413


def test_json_in_another_encoding_is_refused(client: Client) -> None:
    assert client.post("/api/events", content="[]".encode("utf-16"), headers=JSON).status_code == 400


@pytest.mark.parametrize("shape", [[0, 2**53, 2**53], [2**53, 2**53, 2**53], [2**53, 0, 1]])
def test_a_shape_that_overflows_is_422(client: Client, shape: list[int]) -> None:
    event = {**ROUND, "vectors": {"participants": {"dtype": "<i8", "shape": shape, "data": ""}}}
    assert client.post("/api/events", json=[event]).status_code == 422


@pytest.mark.parametrize("time", ["1e300", "-1", "Infinity", "-Infinity", "NaN", "253402300800"])
def test_a_time_that_no_calendar_has_is_refused(client: Client, time: str) -> None:
    text = json.dumps([ROUND]).replace('"wall_time": 1.0', f'"wall_time": {time}')
    assert client.post("/api/events", content=text, headers=JSON).status_code == 422


@pytest.mark.parametrize("time", [1e300, -1e300, float("inf")])
def test_a_store_that_holds_such_a_time_is_still_read(client: Client, store: Store, time: float) -> None:
    store.write([begun("a", wall_time=time)])
    for path in ("/api/runs", "/api/runs/a", "/metrics", "/api/compare?run=a"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "text",
    ["? " + "{a: " * 15 + "1" + "}" * 15 + "\n: 1", "? [" + "x, " * 300_000 + "]\n: 1", "k" * 900_000 + ": {a: 1}",
     "a: &a {b: 1}\n? *a\n: 1", "[" * 900_000],
)  # fmt: skip
def test_keys_that_are_no_words_cost_little(text: str) -> None:
    tracemalloc.start()
    flat(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_what_stands_beside_a_complex_key_is_still_known() -> None:
    assert flat("{? [a, {b: 1}] : {c: 2}, d: {e: 3}, f: [4, 5]}") == {"d.e": "3", "f.0": "4", "f.1": "5"}


def _half(address: str) -> socket.socket:
    opened = socket.create_connection((urlsplit(address).hostname, urlsplit(address).port), timeout=30)
    opened.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n")
    return opened


def test_a_request_that_does_not_end_is_hung_up_on(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol.Protocol, "request_s", 0.1)
    with _half(address) as opened:
        assert opened.recv(1) == b""


def test_half_open_requests_lock_nobody_out(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "room", lambda: 20)
    held = [_half(address) for _ in range(60)]
    assert httpx.get(f"{address}/healthz", timeout=10).status_code == 200
    for opened in held:
        opened.close()


def test_headers_are_bounded(address: str) -> None:
    with _half(address) as opened:
        opened.sendall(b"x: " + b"y" * 40_000)
        assert opened.recv(12) == b"HTTP/1.1 400"
