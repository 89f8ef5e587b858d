"""Events into the store, whatever happens to it: what it cannot take waits in a spool and is delivered later.

Order is kept: while anything waits in the spool, new events queue up behind it. Together with idempotent rows this
gives each event exactly once, over retries, kills and resumes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import URL

from fedsim.metrics.address import file_of, parse, shown
from fedsim.metrics.events import Event, RunStarted
from fedsim.metrics.sinks.base import Sink
from fedsim.metrics.spool import Spool
from fedsim.metrics.store import Store

log = logging.getLogger(__name__)

SPOOL = "spool.jsonl"
"""Name of the spool inside a run folder."""

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0


class Database(Sink):
    """Writes to the store at `address`, and to the spool while that fails.

    Raises ScenarioError at once for an address that is none; a store that is locked, full, read-only, of a newer
    version or no database at all costs one warning and never an exception.
    """

    def __init__(self, address: str | Path, spool: str | Path, *, busy_s: float = 1.0) -> None:
        self._url = parse(address)
        self._spool = Spool(spool, shown(self._url))
        self._busy_s = busy_s
        self._store: Store | None = None
        self._identity: tuple[int, int] | None = None
        self._held: list[Event] = []
        self._starts: dict[str, RunStarted] = {}
        self._retry_at = 0.0
        self._wait_s = FIRST_RETRY_S
        self._warned = False

    def write(self, events: Sequence[Event]) -> None:
        """Bring events to a safe place: the store, else the spool; held in memory only when both refuse."""
        self._held.extend(events)
        self._starts |= {event.run: event for event in events if isinstance(event, RunStarted)}
        if self._spool.waiting or not self._stored():
            self._spooled()

    def tick(self) -> None:
        """Try to deliver what waits, at growing intervals."""
        if (self._spool.waiting or self._held) and time.monotonic() >= self._retry_at:
            self._deliver()

    def close(self) -> None:
        """Deliver what waits if the store takes it now; otherwise say where it waits."""
        self._retry_at = 0.0
        if self._spool.waiting or self._held:
            self._deliver()
        if self._held:
            log.warning("%d events could be written neither to %s nor to %s", len(self._held), self, self._spool.path)
        elif self._spool.waiting:
            log.warning("%s holds what %s could not take; the next run there delivers it", self._spool.path, self)
        self._spool.close()
        self._close_store()

    def rescue(self, events: Sequence[Event]) -> None:
        """Spool what the store, which hangs, did not acknowledge."""
        self._spool.append(events)

    def __str__(self) -> str:
        return f"the store {shown(self._url)}"

    def _stored(self) -> bool:
        if time.monotonic() < self._retry_at:
            return False
        try:
            self._opened().write(self._held)
        except Exception as error:  # whatever a database can raise: the run must go on
            self._refused(error)
            return False
        self._held.clear()
        self._accepted()
        return True

    def _spooled(self) -> None:
        if not self._held:
            return
        try:
            self._spool.append(self._held)
        except OSError as error:
            log.debug("%s: %s", self._spool.path, error)  # still in memory; the next write or tick tries again
        else:
            self._held.clear()

    def _deliver(self) -> None:
        if not self._spool.waiting:
            if not self._stored():
                self._spooled()
            return
        self._spooled()
        try:
            self._spool.deliver(self._opened().write)
        except Exception as error:
            self._refused(error)
        else:
            self._accepted()

    def _opened(self) -> Store:
        """Return the store, opened anew when its file was replaced; whoever reads it then still finds the run."""
        if self._store is not None and _identity(self._url) != self._identity:
            self._close_store()
        if self._store is None:
            self._store = Store(self._url, busy_s=self._busy_s)
            self._identity = _identity(self._url)
            if self._starts:
                self._store.write(list(self._starts.values()))
            self._deliver_others()
        return self._store

    def _deliver_others(self) -> None:
        """Bring home what killed runs beside this one left in their spools for the same store file."""
        file = file_of(self._url)
        if file is None or self._store is None:
            return
        for path in sorted(file.parent.glob(f"*/{SPOOL}")):
            if path.absolute() == self._spool.path.absolute():
                continue
            try:
                if Spool(path).intended() == shown(self._url):
                    deliver(path, self._store)
            except Exception as error:  # a living run has it open, or it is not ours to read: none of our business
                log.debug("%s: %s", path, error)

    def _refused(self, error: Exception) -> None:
        self._close_store()
        self._retry_at = time.monotonic() + self._wait_s
        self._wait_s = min(2 * self._wait_s, LAST_RETRY_S)
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        log.log(
            logging.DEBUG if self._warned else logging.WARNING,
            "%s cannot be written (%s); the run goes on, its events wait in %s",
            self,
            reason,
            self._spool.path,
        )
        self._warned = True

    def _accepted(self) -> None:
        self._wait_s, self._retry_at = FIRST_RETRY_S, 0.0

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


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


def _identity(url: URL) -> tuple[int, int] | None:
    file = file_of(url)
    if file is None:
        return (0, 0)
    try:
        found = os.stat(file)
    except OSError:
        return None
    return (found.st_dev, found.st_ino)
