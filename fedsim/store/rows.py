"""From events to rows: what each event does to the tables, as idempotent upserts in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, bindparam, case, delete, update
from sqlalchemy.dialects import postgresql, sqlite

from fedsim.metrics.event_json import array_bytes, plain
from fedsim.metrics.events import Evaluated, Event, Notice, RolledBack, RoundDone, RunEnded, RunStarted
from fedsim.store import schema

Row = dict[str, Any]


@dataclass
class _Batch:
    """Rows that wait for one upsert each, by key: a later value of the same key replaces the earlier one."""

    metrics: dict[tuple[str, str, int], Row] = field(default_factory=dict)
    blobs: dict[tuple[str, str, int], Row] = field(default_factory=dict)
    notices: dict[tuple[object, ...], Row] = field(default_factory=dict)
    progress: dict[str, tuple[int, float]] = field(default_factory=dict)

    def write(self, connection: Connection) -> None:
        for table, rows in (
            (schema.metrics, self.metrics),
            (schema.blobs, self.blobs),
            (schema.notices, self.notices),
        ):
            if rows:
                connection.execute(upsert(connection, table), list(rows.values()))
                rows.clear()
        if self.progress:
            done = schema.runs.c.round
            statement = update(schema.runs).where(schema.runs.c.run == bindparam("of"))
            connection.execute(
                statement.values(
                    round=case((done < bindparam("reached"), bindparam("reached")), else_=done),
                    updated=bindparam("time"),
                ),
                [{"of": run, "reached": round, "time": time} for run, (round, time) in self.progress.items()],
            )
            self.progress.clear()


def apply(connection: Connection, events: Iterable[Event]) -> None:
    """Write events in their order."""
    batch = _Batch()
    for event in events:
        match event:
            case RoundDone() | Evaluated():
                _measure(batch, event)
            case Notice():
                row = _notice(event)
                batch.notices[tuple(row.values())[:6]] = row
            case RunStarted():
                batch.write(connection)
                _start(connection, event)
            case RolledBack():
                batch.write(connection)
                _roll_back(connection, event)
            case RunEnded():
                batch.write(connection)
                _end(connection, event)
    batch.write(connection)


def upsert(connection: Connection, table: Table, keep: tuple[str, ...] = ()) -> Any:
    """Return an insert that overwrites a row of the same key, but for the columns to `keep`."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    changed = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key and c.name not in keep}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changed)


def text(value: object, limit: int | None = None) -> str:
    """Return what every database takes as text: no NUL, no lone surrogate, at most `limit` characters."""
    return str(value).encode("utf-8", "replace").decode().replace("\0", "\ufffd")[:limit]


def _json(value: Mapping[str, Any]) -> str:
    return text(json.dumps(plain(value), allow_nan=False))


def _measure(batch: _Batch, event: RoundDone | Evaluated) -> None:
    run, round = event.run, event.round
    for name, value in event.values.items():
        number = float(value)
        batch.metrics[run, name, round] = {
            "run": run,
            "metric": name,
            "round": round,
            "value": None if number != number else number,
        }
    for name, vector in event.vectors.items():
        dtype, shape, data = array_bytes(vector)
        batch.blobs[run, name, round] = {
            "run": run,
            "name": name,
            "round": round,
            "dtype": dtype,
            "shape": json.dumps(shape),
            "data": data,
        }
    reached, time = batch.progress.get(run, (0, 0.0))
    done = round if isinstance(event, RoundDone) else 0
    batch.progress[run] = (max(reached, done), max(time, event.wall_time))


def _notice(event: Notice) -> Row:
    return {
        "run": event.run,
        "round": event.round,
        "kind": text(event.kind, 64),
        "client": -1 if event.client is None else event.client,
        "host": text(event.host or "", 200),
        "attempt": event.attempt,
        "text": text(event.text),
        "wall_time": event.wall_time,
    }


def _start(connection: Connection, event: RunStarted) -> None:
    # a run that is started again keeps when it began and how far it got
    connection.execute(
        upsert(connection, schema.runs, keep=("started", "round")),
        {
            "run": event.run,
            "name": text(event.name),
            "strategy": text(event.strategy),
            "seed": str(event.seed),
            "num_clients": event.num_clients,
            "rounds": event.rounds,
            "scenario": text(event.scenario),
            "scenario_hash": text(event.scenario_hash),
            "schedule_hash": text(event.schedule_hash),
            "versions": _json(event.versions),
            "folder": text(event.folder),
            "status": "running",
            "round": 0,
            "started": event.wall_time,
            "updated": event.wall_time,
            "ended": None,
            "summary": "{}",
        },
    )


def _roll_back(connection: Connection, event: RolledBack) -> None:
    for table in (schema.metrics, schema.blobs):
        connection.execute(delete(table).where(table.c.run == event.run, table.c.round > event.round))
    about = schema.notices.c
    beyond = (about.run == event.run) & (about.round > event.round) & (about.client >= 0)
    connection.execute(delete(schema.notices).where(beyond))
    runs = schema.runs
    reached = case((runs.c.round > event.round, event.round), else_=runs.c.round)
    connection.execute(update(runs).where(runs.c.run == event.run).values(round=reached, updated=event.wall_time))


def _end(connection: Connection, event: RunEnded) -> None:
    connection.execute(
        update(schema.runs)
        .where(schema.runs.c.run == event.run)
        .values(
            status=text(event.status, 20),
            summary=_json(event.summary),
            updated=event.wall_time,
            ended=event.wall_time,
        )
    )
