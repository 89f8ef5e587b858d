"""The sink of a service: exactly once, whatever happens to the service, with the spool's guarantees."""

import http.server
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsim.core import ScenarioError
from fedsim.metrics import Event, MetricsConfig, RoundDone
from fedsim.metrics.event_json import from_plain, to_json
from fedsim.metrics.sinks import remote
from fedsim.metrics.sinks.remote import HttpSink, batches, split
from tests.metrics.conftest import done, started


class Service(http.server.ThreadingHTTPServer):
    """A service that keeps what it gets, and can refuse, lose its answers, or be away."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.heard: list[Event] = []
        self.tokens: list[str | None] = []
        self.refuse = 0
        self.swallow_answers = 0
        self.never = ""
        super().__init__(("127.0.0.1", port), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.tokens.append(self.headers.get("authorization"))
        status = 503 if self.server.refuse else 200
        if self.server.refuse:
            self.server.refuse -= 1
        elif self.server.never and self.server.never.encode() in body:
            status = 422
        else:
            self.server.heard += [from_plain(one) for one in json.loads(body)]
            if self.server.swallow_answers:
                self.server.swallow_answers -= 1
                self.close_connection = True
                return
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "runs" / "one").mkdir(parents=True)
    return tmp_path / "runs" / "one" / remote.SPOOL


def url(service: Service) -> str:
    return f"http://127.0.0.1:{service.server_port}"


def texts(events: Sequence[Event]) -> list[str]:
    return [to_json(event) for event in events]


def test_events_arrive_in_order_and_whole(service: Service, spool: Path) -> None:
    vector = RoundDone(run="a", round=2, values={"train_loss": float("inf")}, vectors={"participants": np.arange(3)})
    given = [started(), done(1), vector]
    sink = HttpSink(url(service), spool, token="secret")
    sink.write(given[:1])
    sink.write(given[1:])
    sink.close()
    assert texts(service.heard) == texts(given)
    assert set(service.tokens) == {"Bearer secret"}
    assert not spool.exists()


def test_a_service_that_is_away_costs_one_warning_and_the_events_wait(
    spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = HttpSink("http://127.0.0.1:9", spool)
    for round in (1, 2, 3):
        sink.write([done(round)])
    assert sum("cannot be written" in record.message for record in caplog.records) == 1
    sink.close()
    assert len(spool.read_text().splitlines()) == 4


def test_what_waits_is_delivered_in_order_when_the_service_is_back(service: Service, spool: Path) -> None:
    service.refuse = 2
    sink = HttpSink(url(service), spool)
    sink.write([started()])
    sink.write([done(1)])
    sink.write([done(2)])
    assert service.heard == []
    service.refuse = 0
    sink.close()
    assert texts(service.heard) == texts([started(), done(1), done(2)])
    assert not spool.exists()


def test_an_answer_that_is_lost_only_repeats(service: Service, spool: Path) -> None:
    service.swallow_answers = 1
    sink = HttpSink(url(service), spool)
    sink.write([started(), done(1)])
    sink.write([done(2)])
    sink.close()
    heard = texts(service.heard)
    assert list(dict.fromkeys(heard)) == texts([started(), done(1), done(2)])
    assert heard.count(texts([done(1)])[0]) == 2


def test_the_next_run_brings_home_what_a_killed_one_left(service: Service, spool: Path, tmp_path: Path) -> None:
    killed = HttpSink(url(service), spool)
    service.refuse = 1
    killed.write([started("dead"), done(1, "dead")])
    killed._spool.close()  # as the system does when a process dies
    other = tmp_path / "runs" / "two" / remote.SPOOL
    other.parent.mkdir()
    sink = HttpSink(url(service), other)
    sink.write([started("new")])
    sink.close()
    assert {event.run for event in service.heard} == {"dead", "new"}
    assert not spool.exists()


def test_spools_for_another_service_are_left_alone(service: Service, spool: Path, tmp_path: Path) -> None:
    elsewhere = HttpSink("http://127.0.0.1:9", spool)
    elsewhere.write([done(1, "other")])
    elsewhere._spool.close()
    sink = HttpSink(url(service), tmp_path / "runs" / "two" / remote.SPOOL)
    (tmp_path / "runs" / "two").mkdir()
    sink.write([started("new")])
    sink.close()
    assert {event.run for event in service.heard} == {"new"}
    assert spool.exists()


def test_large_batches_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BATCH_BYTES", 1000)
    events = [done(round) for round in range(1, 101)]
    cut = list(batches(events))
    assert all(sum(map(len, batch)) <= 1000 for batch in cut)
    assert len(cut) > 5
    assert [text for batch in cut for text in batch] == texts(events)


def test_what_is_never_taken_is_set_aside_and_the_rest_arrives(
    service: Service, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service.never = '"round":2,'
    sink = HttpSink(url(service), spool)
    sink.write([started(), done(1), done(2), done(3)])
    sink.write([done(4)])
    sink.close()
    assert list(dict.fromkeys(texts(service.heard))) == texts([started(), done(1), done(3), done(4)])
    assert spool.with_suffix(".refused").read_text().splitlines() == texts([done(2)])
    assert not spool.exists()
    assert "never takes one of the events (it answered 422" in caplog.text


@pytest.mark.parametrize(
    "address",
    ["", "lab:8080", "ftp://lab", "http://", "http://lab:port", "http://me:pw@lab", "http://lab?x=1", "http://lab/#a",
     "http://a b", "http://[::1", "http://lab\n"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ScenarioError, match="is no address of a service"):
        split(address)


@pytest.mark.parametrize("address", ["http://lab:8080", "https://lab.example/fedsim/", "http://[::1]:8080"])
def test_an_address_is_accepted(address: str) -> None:
    assert list(MetricsConfig(service=address).problems()) == []


def test_the_token_comes_from_the_environment(service: Service, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_TOKEN", " secret\n")
    (sink,) = MetricsConfig(service=url(service), token_env="LAB_TOKEN").open(spool.parent)
    sink.write([started()])
    sink.close()
    assert service.tokens == ["Bearer secret"]


@pytest.mark.parametrize("content", [None, "", "  ", "é", "a\nb"])
def test_a_token_that_cannot_be_sent_is_refused(monkeypatch: pytest.MonkeyPatch, content: str | None) -> None:
    monkeypatch.delenv("LAB_TOKEN", raising=False)
    if content is not None:
        monkeypatch.setenv("LAB_TOKEN", content)
    with pytest.raises(ScenarioError, match=r"metrics\.token_env: .*LAB_TOKEN"):
        MetricsConfig(service="http://lab", token_env="LAB_TOKEN").open(Path())


def test_problems_are_told_by_key() -> None:
    assert [key for key, _ in MetricsConfig(service="lab").problems()] == ["service"]
    assert [key for key, _ in MetricsConfig(token_env="X").problems()] == ["token_env"]
