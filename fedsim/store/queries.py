"""What pages and reports ask the store: runs, one page at a time, and series by way of the primary key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Row, and_, bindparam, exists, func, literal, or_, select, true
from sqlalchemy.exc import SQLAlchemyError

from fedsim.metrics.event_json import plain
from fedsim.metrics.registry import HEADLINES
from fedsim.store import schema
from fedsim.store.database import Store

RUNS, METRICS = schema.runs.c, schema.metrics.c
SHORT = [RUNS[name] for name in ("run", "name", "strategy", "seed", "num_clients", "rounds", "status", "round")]
TIMES = [RUNS.started, RUNS.updated, RUNS.ended]

Unreachable = SQLAlchemyError
"""What every function here raises when the database cannot be asked."""

Pair = tuple[str, str]
"""A run and a metric."""
Series = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Filter:
    """Which runs: `text` is part of a name, strategy or id; the others are exact. None lets all through."""

    text: str | None = None
    strategy: str | None = None
    status: str | None = None
    seed: str | None = None

    def condition(self) -> Any:
        """Return it as an SQL condition."""
        wanted = [
            RUNS[name] == getattr(self, name)
            for name in ("strategy", "status", "seed")
            if getattr(self, name) is not None
        ]
        if self.text:
            word = self.text.replace("\0", "").lower()
            columns = (RUNS.name, RUNS.strategy, RUNS.run)
            wanted.append(or_(*(func.lower(place).contains(word, autoescape=True) for place in columns)))
        return and_(True, *wanted)


def listed(store: Store, which: Filter, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Return one page of runs, the latest first, and how many there are in all."""
    condition = which.condition()
    query = select(*SHORT, *TIMES, RUNS.summary).where(condition).order_by(RUNS.started.desc(), RUNS.run)
    with store.reading() as connection:
        rows = connection.execute(query.limit(limit).offset(offset)).all()
        total = connection.execute(select(func.count()).select_from(schema.runs).where(condition)).scalar_one()
    return [_short(row) for row in rows], total


def _short(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    found = _timed(dict(row._mapping))
    summary = json.loads(found.pop("summary"))
    final = summary.get("final") if isinstance(summary, dict) else None
    return {"id": found.pop("run"), **found, "seed": int(found["seed"]), "final": final or {}}


def _timed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose times are finite, or None: JSON has no name for others, and an old store may hold some."""
    return {**row, **{name: finite(row[name]) for name in ("started", "updated", "ended") if name in row}}


def detailed(store: Store, run: str) -> dict[str, Any] | None:
    """Return everything about a run but its measurements, None when there is no such run."""
    with store.reading() as connection:
        row = connection.execute(select(schema.runs).where(RUNS.run == run)).one_or_none()
    if row is None:
        return None
    found = _timed(dict(row._mapping))
    parsed = {name: json.loads(found[name]) for name in ("versions", "summary")}
    return {"id": found.pop("run"), **found, **parsed, "seed": int(found["seed"])}


def standing(store: Store, run: str) -> tuple[str, int, float] | None:
    """Return a run's status, last round and last change: what a watcher asks for again and again."""
    with store.reading() as connection:
        row = connection.execute(select(RUNS.status, RUNS.round, RUNS.updated).where(RUNS.run == run)).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


def changed(store: Store) -> tuple[int, float, int]:
    """Return numbers that change whenever any run begins, ends or goes on."""
    query = select(func.count(), func.coalesce(func.max(RUNS.updated), 0.0), func.coalesce(func.sum(RUNS.round), 0))
    with store.reading() as connection:
        count, updated, rounds = connection.execute(query.select_from(schema.runs)).one()
    return int(count), float(updated), int(rounds)


def names(store: Store, run: str) -> list[str]:
    """Return the metrics that a run has reported, hopping from one to the next along the primary key."""
    first = select(func.min(METRICS.metric).label("metric")).where(METRICS.run == run)
    hops = first.cte("hops", recursive=True)
    following = (
        select(func.min(METRICS.metric)).where(METRICS.run == run, METRICS.metric > hops.c.metric).scalar_subquery()
    )
    hops = hops.union_all(select(following).where(hops.c.metric.is_not(None)))
    with store.reading() as connection:
        return list(connection.execute(select(hops.c.metric).where(hops.c.metric.is_not(None))).scalars())


_SERIES = (
    select(METRICS.round, METRICS.value)
    .where(METRICS.run == bindparam("of"), METRICS.metric == bindparam("name"), METRICS.round > bindparam("since"))
    .order_by(METRICS.round)
    .limit(bindparam("most"))
)


def series(store: Store, wanted: Mapping[Pair, int], most: int = 10**9) -> dict[Pair, Series]:
    """Return the first `most` (rounds, values) of each (run, metric) beyond the round given for it, if there are any.

    Rows come straight from the driver's cursor: wrapping each would take longer than reading it.
    """
    found = {}
    with store.reading() as connection:
        for (run, metric), since in wanted.items():
            place = {"of": run, "name": metric, "since": since, "most": most}
            rows = connection.execute(_SERIES, place).cursor.fetchall()
            if rows:
                table = np.array(rows, np.float64)  # None becomes NaN
                found[run, metric] = (table[:, 0].astype(np.int64), table[:, 1])
    return found


def rounds_of(store: Store, run: str, since: int, limit: int) -> list[dict[str, Any]]:
    """Return rounds beyond `since` that have been reported, ascending, each with all its values by name."""
    parts = series(store, {(run, metric): since for metric in names(store, run)}, limit)
    found: dict[int, dict[str, Any]] = {}
    for (_, metric), (rounds, measured) in parts.items():
        for round, value in zip(rounds.tolist(), measured.tolist(), strict=True):
            found.setdefault(round, {"round": round})[metric] = plain(value)
    return [found[round] for round in sorted(found)[:limit]]


def latest(store: Store, pairs: Iterable[Pair]) -> dict[Pair, float]:
    """Return the last value of each (run, metric) that there is."""
    query = select(METRICS.value).where(METRICS.run == bindparam("of"), METRICS.metric == bindparam("name"))
    query = query.order_by(METRICS.round.desc()).limit(1)
    found = {}
    with store.reading() as connection:
        for run, metric in pairs:
            row = connection.execute(query, {"of": run, "name": metric}).one_or_none()
            if row is not None:
                found[run, metric] = float("nan") if row[0] is None else row[0]
    return found


def averages(store: Store, run: str, metrics: Sequence[str]) -> dict[str, float]:
    """Return the means of metrics over all rounds but the first, which also warms up."""
    query = select(METRICS.metric, func.avg(METRICS.value)).where(METRICS.run == run, METRICS.metric.in_(metrics))
    with store.reading() as connection:
        rows = connection.execute(query.where(METRICS.round > 1).group_by(METRICS.metric)).all()
    return {metric: float(value) for metric, value in rows if value is not None}


def headlines(store: Store, runs: Iterable[str]) -> dict[str, str]:
    """Return the first of `HEADLINES` that each run reports."""
    asked = list(runs)
    there = [
        exists().where(METRICS.run == RUNS.run, METRICS.metric == name).correlate(schema.runs) for name in HEADLINES
    ]
    with store.reading() as connection:
        rows = connection.execute(select(RUNS.run, *there).where(RUNS.run.in_(asked))).all()
    found = {row[0]: next((name for name, has in zip(HEADLINES, row[1:], strict=True) if has), None) for row in rows}
    return {run: name for run, name in found.items() if name is not None}


def sparklines(store: Store, chosen: Mapping[str, str], points: int) -> dict[str, list[float | None]]:
    """Return about `points` values of one metric each, at rounds evenly spaced, the last one among them.

    Each is one step down the primary key: the last value at or before a round.
    """
    found: dict[str, list[float | None]] = {run: [] for run in chosen}
    place = select(literal(0).label("place")).cte("places", recursive=True)
    place = place.union_all(select(place.c.place + 1).where(place.c.place < points - 1))
    target = RUNS.round * place.c.place / max(1, points - 1)
    for metric in sorted(set(chosen.values())):
        at = (METRICS.run == RUNS.run) & (METRICS.metric == metric) & (METRICS.round <= target)
        value = select(METRICS.value).where(at).order_by(METRICS.round.desc()).limit(1).scalar_subquery()
        query = select(RUNS.run, value).select_from(schema.runs.join(place, true()))
        query = query.where(RUNS.run.in_([run for run, name in chosen.items() if name == metric]))
        with store.reading() as connection:
            for run, number in connection.execute(query.order_by(RUNS.run, place.c.place)):
                found[run].append(finite(number))
    return found


def finite(value: float | None) -> float | None:
    """Return a value for a chart: None where there is nothing to draw."""
    return None if value is None or value - value != 0 else value
