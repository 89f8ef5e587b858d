"""The store: runs, metrics, vectors and notices in SQLite or PostgreSQL, written in batches, each one transaction.

Writing is idempotent: an event told twice leaves the same rows. Recording is told apart from training: whoever calls
this may wait on a disk or a server, so that a run does it from another thread (`sinks.database`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy.typing as npt
from sqlalchemy import URL, Connection, Engine, create_engine, event, select

from fedsim.core.errors import ScenarioError
from fedsim.metrics.address import file_of, parse, shown
from fedsim.metrics.event_json import array_from_bytes
from fedsim.metrics.events import Event
from fedsim.store import schema
from fedsim.store.rows import apply
from fedsim.store.senders import claim

BUSY_S = 1.0
"""How long a writer waits for another one's lock."""


@dataclass(frozen=True)
class RunRow:
    """One run as the store knows it. `round` is the last one done; times are Unix seconds."""

    run: str
    name: str
    strategy: str
    seed: int
    num_clients: int
    rounds: int
    status: str
    round: int
    started: float
    updated: float
    ended: float | None
    folder: str
    scenario: str
    scenario_hash: str
    schedule_hash: str
    versions: dict[str, str]
    summary: dict[str, Any]


class Store:
    """An open store. Use as a context manager, or call `close`."""

    def __init__(self, address: str | Path | URL, *, create: bool = True, busy_s: float = BUSY_S) -> None:
        """Open a store; with `create`, make the file, its folders and the tables where they are missing.

        Without it the store is opened for reading only, also from a medium that cannot be written.

        Raises
        ------
        ScenarioError : the address is none, or `create` is False and there is no such file.
        StoreError : the database is of a newer version, or not fedsim's.
        sqlalchemy.exc.DBAPIError : the database cannot be reached, is locked, or is no database.
        """
        self.url = address if isinstance(address, URL) else parse(address)
        file = file_of(self.url)
        if file is not None:
            if create:
                file.parent.mkdir(parents=True, exist_ok=True)
            elif not file.is_file():
                raise ScenarioError(
                    f"{file}: there is no store here; a run makes one, and `fedsim new` a scenario to run"
                )
        self._engine = _sqlite(self.url, busy_s, create) if file is not None else _postgres(self.url)
        try:
            if create:
                with self.writing() as connection:
                    schema.prepare(connection)
            else:
                self._check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __str__(self) -> str:
        return shown(self.url)

    def write(self, events: Sequence[Event], sender: str | None = None) -> None:
        """Record events in order, in one transaction: all of them or none.

        `sender` is who sent them to a service, as `senders.named` says; None for a process that may write any run.
        Raises ForeignRunError for a run that is another's.
        """
        with self.writing() as connection:
            if sender is not None:
                claim(connection, {event.run for event in events}, sender)
            apply(connection, events)

    def runs(self) -> list[RunRow]:
        """Return all runs, the latest first."""
        table = schema.runs
        with self._engine.connect() as connection:
            rows = connection.execute(select(table).order_by(table.c.started.desc(), table.c.run)).mappings().all()
        return [
            RunRow(
                **{
                    **row,
                    "seed": int(row["seed"]),
                    "versions": json.loads(row["versions"]),
                    "summary": json.loads(row["summary"]),
                }
            )
            for row in rows
        ]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection for queries of one's own over the tables of `schema`; nothing it writes is kept."""
        with self._engine.connect() as connection:
            yield connection

    def values(
        self, runs: Sequence[str] | None = None, metrics: Sequence[str] | None = None, since: int = 0
    ) -> list[tuple[str, int, str, float]]:
        """Return (run, round, metric, value) of rounds >= since, ordered by run, metric, round."""
        table = schema.metrics
        query = select(table.c.run, table.c.round, table.c.metric, table.c.value)
        if runs is not None:
            query = query.where(table.c.run.in_(runs))
        if metrics is not None:
            query = query.where(table.c.metric.in_(metrics))
        if since > 0:
            query = query.where(table.c.round >= since)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.run, table.c.metric, table.c.round)).all()
        nan = float("nan")
        return [(run, round, metric, nan if value is None else value) for run, round, metric, value in rows]

    def vectors(self, run: str, name: str, first: int = 0, last: int | None = None) -> dict[int, npt.NDArray[Any]]:
        """Return the vectors of one name by round, first <= round <= last."""
        table = schema.blobs
        query = select(table.c.round, table.c.dtype, table.c.shape, table.c.data)
        query = query.where(table.c.run == run, table.c.name == name, table.c.round >= first).order_by(table.c.round)
        if last is not None:
            query = query.where(table.c.round <= last)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return {round: array_from_bytes(dtype, json.loads(shape), data) for round, dtype, shape, data in rows}

    def notices(self, run: str) -> list[dict[str, Any]]:
        """Return the notices of a run in order; client and host are None where a notice is about none."""
        table = schema.notices
        order = (table.c.round, table.c.wall_time, table.c.kind, table.c.client, table.c.host, table.c.attempt)
        with self._engine.connect() as connection:
            rows = connection.execute(select(table).where(table.c.run == run).order_by(*order)).mappings().all()
        return [
            {**row, "client": None if row["client"] < 0 else row["client"], "host": row["host"] or None} for row in rows
        ]

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection in one transaction, which holds from its beginning the lock that a writer needs."""
        with self._engine.execution_options(fedsim_writes=True).begin() as connection:
            yield connection

    def _check(self) -> None:
        with self._engine.connect() as connection:
            if not connection.dialect.has_table(connection, schema.version.name):
                raise schema.StoreError(f"{self}: this database holds no runs of fedsim")
            schema.check(connection)


def _sqlite(url: URL, busy_s: float, writes: bool) -> Engine:
    file = Path(str(url.database))
    if not writes and not os.access(file.parent, os.W_OK) and not Path(f"{file}-wal").exists():
        # even a reader of WAL needs to write beside the file, unless it is told that nobody will
        url = url.set(database=f"file:{quote(str(file))}").update_query_dict({"immutable": "1", "uri": "true"})
    engine = create_engine(url, connect_args={"timeout": busy_s, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        if not writes:
            connection.execute("PRAGMA query_only=ON")
            return
        # WAL lets readers go on while a run writes; it is a property of the file and stays
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # a writer takes the lock at once: a transaction that starts reading and then writes can fail without waiting
        immediate = connection.get_execution_options().get("fedsim_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _postgres(url: URL) -> Engine:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise ScenarioError("a postgresql store needs the package psycopg: pip install 'psycopg[binary]'") from error
    limits = "-c statement_timeout=60000 -c lock_timeout=10000"
    return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 5, "options": limits})
