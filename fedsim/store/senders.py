"""Whose run it is: a run goes on under the token that sent its first event, and under no other."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from fedsim.store import schema

NOBODY = ""
"""Who sends to a service without a token: this machine, as its own processes are."""


class ForeignRunError(Exception):
    """A run that was begun by somebody else. Its text says which."""


def named(token: str | None) -> str:
    """Return the name of a token's holder, which is of no use to find the token.

    >>> named("a"), named(None)
    ('ca978112ca1bbdca', '')
    """
    return NOBODY if token is None else sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def claim(connection: Connection, wanted: Collection[str], sender: str) -> None:
    """Note who sends runs that are new, in a transaction of the caller's. Raises ForeignRunError for another's run."""
    runs, table = schema.runs, schema.senders
    known = set(connection.scalars(select(runs.c.run).where(runs.c.run.in_(wanted))))
    fresh = sorted(set(wanted) - known)
    if sender != NOBODY and fresh:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        rows = [{"run": run, "sender": sender} for run in fresh]
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)
    found = connection.execute(select(table).where(table.c.run.in_(wanted))).mappings()
    owners = {row["run"]: row["sender"] for row in found}
    for run in sorted(wanted):
        if owners.get(run, NOBODY) != sender:
            raise ForeignRunError(f"the run {run} was begun by another sender; nothing of this was recorded")
