"""Fifty writers at once, the service killed or its database restarted in between: every event exactly once."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from fedsim.metrics import Event, RunEnded
from fedsim.metrics.sinks.remote import SPOOL, HttpSink
from fedsim.store.database import Store
from tests.metrics.conftest import Server, done, started
from tests.service.conftest import free_port

WRITERS, ROUNDS, BATCH = 50, 40, 4

pytestmark = [pytest.mark.faults, pytest.mark.slow]


class Served:
    """`fedsim serve` as a process of its own, always at the same port."""

    def __init__(self, store: str) -> None:
        self.port = free_port()
        self._command = [sys.executable, "-c", "import sys; from fedsim.cli import main; sys.exit(main())", "serve"]
        self._command += ["--store", store, "--port", str(self.port)]
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert "serving" in self._process.stdout.readline()

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate(timeout=60)


@contextmanager
def served(store: str) -> Iterator[Served]:
    service = Served(store)
    service.start()
    yield service
    service.kill()


def write_all(url: str, folder: Path, halfway: Callable[[], None]) -> None:
    """Let every writer tell half its run, then let `halfway` happen while all go on."""
    reached = threading.Barrier(WRITERS + 1, timeout=120)

    def writer(number: int) -> None:
        run = f"run-{number}"
        spool = folder / run / SPOOL
        spool.parent.mkdir(parents=True)
        sink = HttpSink(url, spool)
        events: list[Event] = [started(run, rounds=ROUNDS), *(done(r, run) for r in range(1, ROUNDS + 1))]
        for first in range(0, len(events), BATCH):
            if first == ROUNDS // 2:
                reached.wait()
            sink.write(events[first : first + BATCH])
            sink.tick()
        sink.write([RunEnded(run=run, status="completed", wall_time=9.0)])
        sink._spool.close()  # a writer that ends without a word, as if it were killed
        sink._let_go()

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    reached.wait()
    halfway()
    for thread in threads:
        thread.join(120)


def bring_home(url: str, folder: Path) -> None:
    """A later run beside the others delivers what waits in their spools."""
    (folder / "last").mkdir()
    sink = HttpSink(url, folder / "last" / SPOOL)
    sink.write([started("last")])
    sink.close()
    assert list(folder.glob(f"*/{SPOOL}")) == []


def check(store: Store) -> None:
    expected = {(f"run-{n}", r, "train_loss", 1.0 / r) for n in range(WRITERS) for r in range(1, ROUNDS + 1)}
    found = store.values()
    assert len(found) == len(expected)
    assert set(found) == expected
    runs = {row.run: (row.status, row.round) for row in store.runs() if row.run != "last"}
    assert runs == {f"run-{n}": ("completed", ROUNDS) for n in range(WRITERS)}


def test_a_service_that_is_killed_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    file = tmp_path / "service" / "fedsim.db"
    with served(str(file)) as service:

        def restart() -> None:
            service.kill()
            service.start()

        write_all(service.url, tmp_path / "runs", restart)
        bring_home(service.url, tmp_path / "runs")
        assert len(httpx.get(f"{service.url}/api/runs?limit=500").json()) == WRITERS + 1
    with Store(file, create=False) as store:
        check(store)


def test_a_postgresql_that_restarts_loses_nothing_and_repeats_nothing(postgres_server: Server, tmp_path: Path) -> None:
    engine = create_engine(postgres_server.url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    with served(postgres_server.url) as service:
        write_all(service.url, tmp_path / "runs", postgres_server.restart)
        bring_home(service.url, tmp_path / "runs")
    with Store(postgres_server.url, create=False) as store:
        check(store)


def test_the_service_ends_on_a_signal_with_its_streams_open(tmp_path: Path) -> None:
    service = Served(str(tmp_path / "fedsim.db"))
    service.start()
    assert service._process is not None
    with httpx.stream("GET", f"{service.url}/api/stream", timeout=30) as answer:
        assert next(answer.iter_lines()) == "event: changed"
        os.kill(service._process.pid, signal.SIGTERM)
        service._process.communicate(timeout=30)
    assert service._process.returncode == 143
