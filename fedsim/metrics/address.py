"""Where a store is: a file's path or a URL, in the forms a scenario may give."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from fedsim.core.config.inputs import place_of
from fedsim.core.errors import ScenarioError


def parse(store: str | Path) -> URL:
    """Return the URL of a store; relative files are relative to the working folder, now.

    >>> parse("/tmp/runs/fedsim.db").render_as_string()
    'sqlite:////tmp/runs/fedsim.db'
    >>> parse("postgresql://me@db/fedsim").drivername
    'postgresql+psycopg'

    Raises
    ------
    ScenarioError : for anything else than a path, `sqlite:///FILE` or `postgresql://...`.
    """
    allowed = "give a file (runs/fedsim.db), sqlite:///FILE or postgresql://USER@HOST/DATABASE"
    if not str(store).strip():
        raise ScenarioError(f"metrics.store: is empty; {allowed}")
    if isinstance(store, Path) or "://" not in store:
        return URL.create("sqlite", database=str(place_of(store).absolute()))
    try:
        url = make_url(store)
    except (ArgumentError, ValueError) as error:
        raise ScenarioError(f"metrics.store: {store!r} is not a URL; {allowed}") from error
    kind = url.get_backend_name()
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise ScenarioError(f"metrics.store: {kind} is no kind of store; {allowed}")
    if url.database in (None, "", ":memory:"):
        raise ScenarioError(f"metrics.store: a database in memory would be gone with the run; {allowed}")
    return url.set(database=str(place_of(str(url.database)).absolute()))


def file_of(url: URL) -> Path | None:
    """Return the file of an SQLite store, None for a server."""
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def shown(url: URL) -> str:
    """Return the address for people, without a password."""
    file = file_of(url)
    return url.render_as_string(hide_password=True).replace("+psycopg", "") if file is None else str(file)
