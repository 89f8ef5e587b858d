"""Events into the store, whatever happens to it: what it cannot take waits in a spool and is delivered later."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from sqlalchemy import URL

from fedsim.metrics.address import file_of, parse, shown
from fedsim.metrics.events import Event, RunStarted
from fedsim.metrics.sinks.spooled import Spooled
from fedsim.metrics.spool import Spool
from fedsim.store.database import Store

log = logging.getLogger(__name__)

SPOOL = "spool.jsonl"
"""Name of the spool inside a run folder."""


class Database(Spooled):
    """Writes to the store at `address`, and to the spool while that fails.

    Raises ScenarioError at once for an address that is none; a store that is locked, full, read-only, of a newer
    version or no database at all costs one warning and never an exception.
    """

    def __init__(self, address: str | Path, spool: str | Path, *, busy_s: float = 1.0) -> None:
        self._url = parse(address)
        super().__init__(spool, shown(self._url))
        self._busy_s = busy_s
        self._store: Store | None = None
        self._identity: tuple[int, ...] | None = None
        self._starts: dict[str, RunStarted] = {}

    def write(self, events: Sequence[Event]) -> None:
        """Bring events to a safe place, and remember whose they are."""
        self._starts |= {event.run: event for event in events if isinstance(event, RunStarted)}
        super().write(events)

    def __str__(self) -> str:
        return f"the store {shown(self._url)}"

    def _take(self, events: Sequence[Event]) -> None:
        with _turn(str(self._url)):
            self._opened().write(events)

    def _let_go(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _opened(self) -> Store:
        """Return the store, opened anew when its file was replaced; whoever reads it then still finds the run."""
        if self._store is not None and _identity(self._url) != self._identity:
            log.warning("%s was removed or replaced while the run went on; it is opened anew", self)
            self._let_go()
        if self._store is None:
            self._store = Store(self._url, busy_s=self._busy_s)
            self._identity = _identity(self._url)
            if self._starts:
                self._store.write(list(self._starts.values()))
            file = file_of(self._url)
            if file is not None:
                self._deliver_others(file.parent, self._store.write)
        return self._store


def deliver(spool: str | Path, store: Store | str | Path) -> int:
    """Write what waits in a spool file to a store and remove the file; return how many events that were.

    Raises BlockingIOError when the run that owns the spool is alive, and what opening the store raises.
    """
    waiting = Spool(spool)
    if not waiting.waiting:
        return 0
    opened = store if isinstance(store, Store) else Store(store)
    try:
        return waiting.deliver(opened.write)
    finally:
        waiting.close()
        if opened is not store:
            opened.close()


@cache
def _turn(url: str) -> threading.Lock:
    """Return what the runs of this process hold while they write to a store: a file takes one writer at a time."""
    return threading.Lock()


def _identity(url: URL) -> tuple[int, ...] | None:
    """Return which file the store is, and which log lies beside it; a server has no file."""
    file = file_of(url)
    if file is None:
        return ()
    try:
        found, beside = os.stat(file), os.stat(f"{file}-wal")
    except OSError:
        return None
    return (found.st_dev, found.st_ino, beside.st_ino)
