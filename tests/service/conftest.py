"""A service to ask: in this process for plain requests, listening on loopback for streams and browsers."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from fedsim.metrics import Evaluated, RoundDone, RunEnded, RunStarted
from fedsim.service.app import create_app
from fedsim.service.guard import Access
from fedsim.service.listening import Server, listener
from fedsim.store.database import Store
from tests.metrics.conftest import postgres_server

__all__ = ["postgres_server"]

TOKEN = "a token that nobody guesses"
SCENARIO = "name: toy\nseed: {seed}\nstrategy:\n  name: {strategy}\n"


def begun(run: str, **changes: Any) -> RunStarted:
    known = {"name": "toy", "strategy": "fedavg", "seed": 1, "num_clients": 4, "rounds": 10, "wall_time": 1.0} | changes
    return RunStarted(run=run, scenario=SCENARIO.format(**known), **known)


def round_done(run: str, round: int, clients: tuple[int, ...] = (0, 2), **values: float) -> RoundDone:
    known = {"cohort_size": float(len(clients)), "train_loss": 1.0 / round, "round_s": 0.5, "bytes_up": 10.0}
    vectors = {"participants": np.array(clients, np.int64)}
    return RoundDone(run=run, round=round, values=known | values, vectors=vectors, wall_time=float(round))


def judged(run: str, round: int, accuracy: float) -> Evaluated:
    return Evaluated(run=run, round=round, values={"test_accuracy": accuracy, "test_loss": 1 - accuracy}, wall_time=1.0)


def whole(run: str, *, seed: int = 1, strategy: str = "fedavg", rounds: int = 4, level: float = 0.5) -> list[object]:
    """Return a whole run: evaluated before round 1 and after every round."""
    events: list[object] = [begun(run, seed=seed, strategy=strategy, rounds=rounds), judged(run, 0, 0.1)]
    for r in range(1, rounds + 1):
        events += [round_done(run, r), judged(run, r, level + 0.01 * r + 0.001 * seed)]
    return [*events, RunEnded(run=run, status="completed", summary={"final": {"test_accuracy": level}}, wall_time=9.0)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "runs" / "fedsim.db", busy_s=10.0) as opened:
        yield opened


class Client:
    """Asks an application without a network; an error inside it is the answer 500."""

    def __init__(self, app: FastAPI, host: str) -> None:
        self._app, self._host = app, host

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{self._host}") as opened:
                return await opened.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)


@pytest.fixture
def client(store: Store) -> Client:
    return Client(create_app(store), "localhost")


@pytest.fixture
def locked(store: Store) -> Client:
    """A client of a service that has a token."""
    return Client(create_app(store, Access(token=TOKEN, hosts=())), "lab:8080")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def listening(store: Store, door: Access | None = None) -> Iterator[str]:
    """Serve on a free port of loopback, in a thread; yield the address."""
    server = Server(create_app(store, door, poll_s=0.05))
    with listener("127.0.0.1", 0) as opened:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{opened.getsockname()[1]}"
        assert httpx.get(f"{address}/healthz", timeout=30).status_code == 200
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture
def address(store: Store) -> Iterator[str]:
    with listening(store) as found:
        yield found
