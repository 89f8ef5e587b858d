"""Events to tell, and stores to tell them to: SQLite always, PostgreSQL where a server or its binaries are at hand."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from fedsim.metrics import RoundDone, RunStarted
from fedsim.store.database import Store


def started(run: str = "a", **changes: object) -> RunStarted:
    known = {"name": "toy", "strategy": "fedavg", "seed": 1, "num_clients": 3, "rounds": 5, "wall_time": 1.0}
    return RunStarted(run=run, **(known | changes))  # type: ignore[arg-type]


def done(round: int, run: str = "a", **values: float) -> RoundDone:
    return RoundDone(run=run, round=round, values=values or {"train_loss": 1.0 / round}, wall_time=float(round))


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    near = shutil.which("initdb")
    return Path(near).resolve().parent if near else None


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server; `restart` ends every connection, and the server too where it was started here."""

    url: str
    restart: Callable[[], None]


def _drop_connections(url: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"))
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL server: FEDSIM_TEST_POSTGRES, whose database is emptied, or one started here."""
    given = os.environ.get("FEDSIM_TEST_POSTGRES")
    if given:
        yield Server(given, lambda: _drop_connections(given))
        return
    binaries = _binaries()
    if binaries is None:
        pytest.fail("the store is tested on PostgreSQL too: set FEDSIM_TEST_POSTGRES, or install Debian's postgresql")
    folder = Path(tempfile.mkdtemp(prefix="fedsim-pg-"))
    # the server refuses to run as root; Debian's package makes the user postgres
    owner = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    as_owner = {"user": owner.pw_uid, "group": owner.pw_gid} if os.getuid() == 0 else {}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def call(*command: str | Path) -> None:
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60, **as_owner)  # type: ignore[call-overload]

    cluster = folder / "cluster"
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"

    def start() -> None:
        call(binaries / "pg_ctl", "-D", cluster, "-w", "-l", folder / "log", "-o", options, "start")

    def restart() -> None:
        call(binaries / "pg_ctl", "-D", cluster, "-w", "-m", "immediate", "stop")
        start()

    call(binaries / "initdb", "-D", cluster, "-U", "fedsim", "-A", "trust", "-E", "UTF8", "--no-sync")
    start()
    yield Server(f"postgresql://fedsim@127.0.0.1:{port}/postgres", restart)
    call(binaries / "pg_ctl", "-D", cluster, "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(postgres_server: Server) -> str:
    """The URL of a PostgreSQL server."""
    return postgres_server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "runs" / "fedsim.db")
    url: str = request.getfixturevalue("postgres")
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return url


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    with Store(address) as opened:
        yield opened
