"""What a sink that must lose nothing has in common: what cannot be handed over waits in a spool and follows later.

Order is kept: while anything waits in the spool, new events queue up behind it. Together with idempotent rows at the
other end this gives each event exactly once, over retries, kills and resumes.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from fedsim.metrics.events import Event
from fedsim.metrics.sinks.base import Sink
from fedsim.metrics.spool import Spool

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0


class UnwelcomeError(Exception):
    """The receiver takes nothing of this from us, now or later."""


class Spooled(Sink):
    """Hands events to `_take`, and to the spool while that raises.

    Whatever `_take` raises costs one warning and never an exception. `place` names the receiver in the spool file, so
    that what a killed run left behind goes where it was meant to.
    """

    def __init__(self, spool: str | Path, place: str) -> None:
        self._spool = Spool(spool, place)
        self._place = place
        self._held: list[Event] = []
        self._retry_at = 0.0
        self._wait_s = FIRST_RETRY_S
        self._warned = False
        self._unwelcome = False

    @abstractmethod
    def _take(self, events: Sequence[Event]) -> None:
        """Bring events to where they belong, durably: all of them, or an exception."""

    @abstractmethod
    def _let_go(self) -> None:
        """Close what `_take` has opened; it may be called again after this."""

    @abstractmethod
    def __str__(self) -> str:
        """Return what the receiver is called in a warning."""

    def write(self, events: Sequence[Event]) -> None:
        """Bring events to a safe place: the receiver, else the spool; held in memory only when both refuse."""
        self._held.extend(events)
        if self._spool.waiting or not self._taken():
            self._spooled()

    def tick(self) -> None:
        """Try to deliver what waits, at growing intervals."""
        if (self._spool.waiting or self._held) and time.monotonic() >= self._retry_at:
            self._deliver()

    def close(self) -> None:
        """Deliver what waits if that works now; otherwise say where it waits."""
        self._retry_at = 0.0
        if self._spool.waiting or self._held:
            self._deliver()
        if self._held:
            log.warning("%d events could be written neither to %s nor to %s", len(self._held), self, self._spool.path)
        elif self._spool.waiting and not self._unwelcome:
            log.warning("%s holds what %s could not take; the next run there delivers it", self._spool.path, self)
        self._spool.close()
        self._let_go()

    def rescue(self, events: Sequence[Event]) -> None:
        """Spool what the receiver, which hangs, did not acknowledge."""
        self._spool.append(events)

    def _taken(self) -> bool:
        if time.monotonic() < self._retry_at:
            return False
        try:
            self._take(self._held)
        except Exception as error:  # whatever a database or a network can raise: the run must go on
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
            if not self._taken():
                self._spooled()
            return
        self._spooled()
        try:
            self._spool.deliver(self._take)
        except Exception as error:
            self._refused(error)
        else:
            self._accepted()

    def _deliver_others(self, runs: Path, write: Callable[[Sequence[Event]], None]) -> None:
        """Bring home what killed runs in a folder of runs left in their spools for the same receiver."""
        for path in sorted(runs.glob(f"*/{self._spool.path.name}")):
            if path.absolute() == self._spool.path.absolute():
                continue
            other = Spool(path)
            try:
                if other.intended() == self._place:
                    other.deliver(write)
            except Exception as error:  # a living run has it open, or it is not ours to read: none of our business
                log.debug("%s: %s", path, error)
            finally:
                other.close()

    def _refused(self, error: Exception) -> None:
        self._let_go()
        news = not self._warned or (isinstance(error, UnwelcomeError) and not self._unwelcome)
        self._unwelcome = self._unwelcome or isinstance(error, UnwelcomeError)
        self._retry_at = time.monotonic() + self._wait_s
        self._wait_s = min(2 * self._wait_s, LAST_RETRY_S)
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        log.log(
            logging.WARNING if news else logging.DEBUG,
            "%s cannot be written (%s); the run goes on, its events wait in %s",
            self,
            reason,
            self._spool.path,
        )
        self._warned = True

    def _accepted(self) -> None:
        self._wait_s, self._retry_at = FIRST_RETRY_S, 0.0
