"""Who took part when: the matrix of clients and rounds in blocks, and one line for each client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import func, select

from fedsim.store import schema
from fedsim.store.database import Store

VECTOR = "participants"
MOST_BYTES = 32_000_000
MOST_ROUNDS = 10_000
"""More than this is not read for one answer: every k-th round stands for all then, and the answer says so."""


@dataclass(frozen=True)
class AttendanceRecord:
    """Rounds looked at (T,), every `stride`-th; for each participation its place among them and the client's id."""

    rounds: npt.NDArray[np.int64]
    stride: int
    places: npt.NDArray[np.int64]
    clients: npt.NDArray[np.int64]


def attendance(store: Store, run: str, num_clients: int, first: int, last: int) -> AttendanceRecord:
    """Read the participants of rounds first..last."""
    about = schema.blobs.c
    within = (about.run == run) & (about.name == VECTOR) & (about.round >= first) & (about.round <= last)
    sizes = select(func.count(), func.coalesce(func.sum(func.length(about.data)), 0), func.min(about.round))
    query = select(about.round, about.dtype, about.data).where(within)
    with store.reading() as connection:
        count, size, begin = connection.execute(sizes.where(within)).one()
        stride = max(1, -(-int(size) // MOST_BYTES), -(-int(count) // MOST_ROUNDS))
        if stride > 1:
            query = query.where((about.round - begin) % stride == 0)
        rows = connection.execute(query.order_by(about.round)).cursor.fetchall()
    found = [np.frombuffer(data, dtype).astype(np.int64) for _, dtype, data in rows]
    rounds = np.array([row[0] for row in rows], np.int64)
    places = np.repeat(np.arange(len(rows)), [len(ids) for ids in found])
    clients = np.concatenate([np.zeros(0, np.int64), *found])
    there = (clients >= 0) & (clients < num_clients)
    return AttendanceRecord(rounds, stride, places[there], clients[there])


def blocks(
    store: Store, run: str, num_clients: int, *, first: int, last: int, rows: int, columns: int
) -> dict[str, Any]:
    """Return the share of participations in blocks of clients (rows) by rounds (columns).

    `clients` and `rounds` are the first of each block, and one more number for where the last block ends.
    """
    found = attendance(store, run, num_clients, first, last)
    count = len(found.rounds)
    if count == 0 or num_clients == 0:
        return {"rounds": [], "clients": [], "share": [], "every": 1}
    high, wide = min(rows, num_clients), min(columns, count)
    client_edges = np.array([num_clients * k // high for k in range(high + 1)], np.int64)
    round_edges = np.array([count * k // wide for k in range(wide + 1)], np.int64)
    row = np.searchsorted(client_edges, found.clients, side="right") - 1
    column = np.searchsorted(round_edges, found.places, side="right") - 1
    hits = np.bincount(row * wide + column, minlength=high * wide).reshape(high, wide)
    cells = np.diff(client_edges)[:, None].astype(np.float64) * np.diff(round_edges)[None, :]
    ends = np.append(found.rounds, found.rounds[-1] + found.stride)
    return {
        "rounds": ends[round_edges].tolist(),
        "clients": client_edges.tolist(),
        "share": np.round(hits / cells, 4).tolist(),
        "every": found.stride,
    }


def clients(store: Store, run: str, num_clients: int, offset: int, limit: int) -> dict[str, Any]:
    """Return for clients offset..offset+limit-1 how often each took part, when last, and how often it failed."""
    found = attendance(store, run, num_clients, 1, 2**53)
    chosen = range(offset, min(num_clients, offset + limit))
    mine = (found.clients >= offset) & (found.clients < offset + len(chosen))
    which, when = found.clients[mine] - offset, found.rounds[found.places[mine]]
    taken = np.bincount(which, minlength=len(chosen))
    latest = np.zeros(len(chosen), np.int64)
    np.maximum.at(latest, which, when)
    about = schema.notices.c
    failures = select(about.client, func.count()).where(about.run == run, about.client >= 0).group_by(about.client)
    with store.reading() as connection:
        failed = {int(row[0]): int(row[1]) for row in connection.execute(failures)}
    rounds = len(found.rounds)
    rows = [
        {
            "client": client,
            "rounds": int(taken[k]),
            "rate": round(int(taken[k]) / rounds, 6) if rounds else 0.0,
            "last": int(latest[k]) or None,
            "failures": failed.get(client, 0),
        }
        for k, client in enumerate(chosen)
    ]
    return {"total": num_clients, "rounds": rounds, "every": found.stride, "clients": rows}
