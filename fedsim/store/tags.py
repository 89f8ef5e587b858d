"""Words that people give to runs, to find them again; and runs that they want no more."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from sqlalchemy import delete, select

from fedsim.core.errors import ScenarioError
from fedsim.store import schema
from fedsim.store.database import Store
from fedsim.store.rows import text, upsert

LONGEST = 100


def checked(word: str) -> str:
    """Return a tag. Raises ScenarioError for one that could not be said again on a command line, or is too long.

    >>> checked("best")
    'best'
    """
    if not word or len(word) > LONGEST or not word.isprintable() or any(letter.isspace() for letter in word):
        raise ScenarioError(f"a tag is one word of at most {LONGEST} characters, got {word!r}")
    return word


def add(store: Store, runs: Iterable[str], word: str, note: str | None = None) -> None:
    """Give runs a tag. A note replaces the one that the tag had; None leaves it."""
    rows = [{"run": run, "tag": checked(word), "note": text(note or ""), "time": time.time()} for run in runs]
    with store.writing() as connection:
        connection.execute(upsert(connection, schema.tags, keep=("note",) if note is None else ()), rows)


def remove(store: Store, runs: Collection[str], word: str) -> int:
    """Take a tag from runs; return how many had it."""
    tags = schema.tags.c
    with store.writing() as connection:
        return connection.execute(delete(schema.tags).where(tags.run.in_(runs), tags.tag == word)).rowcount


def tags_of(store: Store) -> dict[str, dict[str, str]]:
    """Return run -> tag -> note, of the runs that have one; nothing for an old store that is only read."""
    found: dict[str, dict[str, str]] = {}
    table = schema.tags
    with store.reading() as connection:
        if connection.dialect.has_table(connection, table.name):
            for row in connection.execute(select(table).order_by(table.c.time, table.c.tag)).mappings():
                found.setdefault(row["run"], {})[row["tag"]] = row["note"]
    return found


def forget(store: Store, runs: Collection[str]) -> None:
    """Delete all that the store holds of runs, in one transaction."""
    with store.writing() as connection:
        for table in (schema.metrics, schema.blobs, schema.notices, schema.senders, schema.tags, schema.runs):
            connection.execute(delete(table).where(table.c.run.in_(runs)))
