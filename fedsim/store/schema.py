"""The tables of the store, and their version.

Keys are what makes recording idempotent: a metric is keyed by (run, metric, round), in this order because it is read
as a series. Version 1 is the first; a later one migrates older stores and refuses newer ones.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    text,
)

VERSION = 1

metadata = MetaData()

version = Table("fedsim_schema", metadata, Column("version", Integer, primary_key=True))

runs = Table(
    "runs",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("seed", String(40), nullable=False),  # text: a seed may have more than 64 bits
    Column("num_clients", BigInteger, nullable=False),
    Column("rounds", BigInteger, nullable=False),
    Column("scenario", Text, nullable=False),
    Column("scenario_hash", Text, nullable=False),
    Column("schedule_hash", Text, nullable=False),
    Column("versions", Text, nullable=False),  # JSON
    Column("folder", Text, nullable=False),
    Column("status", String(20), nullable=False),  # running, or how it ended
    Column("round", BigInteger, nullable=False),  # the last one done
    Column("started", Float(53), nullable=False),  # Unix seconds
    Column("updated", Float(53), nullable=False),
    Column("ended", Float(53)),
    Column("summary", Text, nullable=False),  # JSON
)

metrics = Table(
    "metrics",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("round", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Float(53)),  # null is NaN: SQLite knows no other
    sqlite_with_rowid=False,
)

blobs = Table(
    "blobs",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("round", BigInteger, primary_key=True, autoincrement=False),
    Column("dtype", String(20), nullable=False),
    Column("shape", Text, nullable=False),  # JSON
    Column("data", LargeBinary, nullable=False),
)

notices = Table(
    "notices",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("round", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(64), primary_key=True),
    Column("client", BigInteger, primary_key=True, autoincrement=False),  # -1: about no client
    Column("host", String(200), primary_key=True),  # '': about no host
    Column("attempt", BigInteger, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("wall_time", Float(53), nullable=False),
)


senders = Table(
    "fedsim_senders",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("sender", String(16), nullable=False),  # of a token's SHA-256; no row: a process of this machine wrote it
)
"""Whose token sent a run's first event to a service. Stores of version 1 without this table gain it when opened."""

tags = Table(
    "fedsim_tags",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("tag", String(100), primary_key=True),
    Column("note", Text, nullable=False),  # '': none
    Column("time", Float(53), nullable=False),  # Unix seconds
)
"""What people call runs. Stores of version 1 without this table gain it when opened for writing."""


class StoreError(Exception):
    """A store that cannot be used, in plain words."""


def prepare(connection: Connection) -> None:
    """Make the tables of an empty database, or check the version of one that has them. Safe for many at once.

    The connection is in a transaction that already excludes other writers (SQLite), or takes a lock here (PostgreSQL).
    Raises StoreError for a store of a newer version, and for a database that holds somebody else's tables.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(7306920)"))
    found = set(inspect(connection).get_table_names())
    if version.name not in found:
        clash = sorted(found & set(metadata.tables))
        if clash:
            raise StoreError(f"this database has a table {clash[0]} that is not fedsim's; give another store")
        metadata.create_all(connection, checkfirst=False)
        connection.execute(version.insert().values(version=VERSION))
        return
    check(connection)
    for later in (senders, tags):
        if later.name not in found:
            later.create(connection)


def check(connection: Connection) -> None:
    """Raise StoreError when the store is not of this version."""
    number = connection.execute(version.select()).scalar()
    if number != VERSION:
        raise StoreError(f"this store has schema version {number}, this fedsim reads version {VERSION}; update fedsim")
