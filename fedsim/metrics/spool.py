"""Where events wait while the store cannot take them: an append-only file of JSON lines, synced, in the run folder.

The file exists only while something waits in it; its first line says for which store. It is locked while a process
has it open, so that a later run, or `deliver`, can bring home what a killed run left behind, and never touches what a
living one still writes.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fedsim.core.system.files import sync_folder
from fedsim.metrics.event_json import from_json, to_json
from fedsim.metrics.events import Event

log = logging.getLogger(__name__)

_HEADER = b'{"spool":1,"store":'

CHUNK = 500
"""Events per transaction when a spool is delivered."""


class Spool:
    """The spool of one run. `append` may be called from any thread, `deliver` from one at a time."""

    def __init__(self, path: str | Path, store: str = "") -> None:
        self.path = Path(path)
        self._store = store
        self._mutex = threading.Lock()
        self._file: int | None = None
        self._delivered = 0  # bytes that are in the store already; a new process starts at 0, which only repeats

    @property
    def waiting(self) -> bool:
        """Whether events wait."""
        return self._file is not None or self.path.exists()

    def intended(self) -> str:
        """Return the store that the events wait for, '' when the file does not say."""
        with open(self.path, "rb") as file:
            first = file.readline()
        return str(json.loads(first)["store"]) if first.startswith(_HEADER) and first.endswith(b"\n") else ""

    def append(self, events: Sequence[Event]) -> None:
        """Add events and make them durable: all of them, or none and an OSError."""
        content = "".join(to_json(event) + "\n" for event in events).encode()
        with self._mutex:
            file = self._open(create=True)
            end = os.lseek(file, 0, os.SEEK_END)
            header = b"" if end else _HEADER + json.dumps(self._store).encode() + b"}\n"
            try:
                left = memoryview(header + content)
                while left:
                    left = left[os.write(file, left) :]
                os.fsync(file)
            except OSError:
                os.ftruncate(file, end)  # a full disk may have taken half a line
                raise

    def deliver(self, write: Callable[[Sequence[Event]], None]) -> int:
        """Hand everything that waits to `write`, in order, and remove the file; return the number of events.

        An error of `write` passes through: what it had taken is not handed over again by this object, and a repeat by
        another process changes nothing, because events are idempotent. Lines that are no events are set aside.
        """
        count = 0
        while True:
            with self._mutex:
                if not self.waiting:
                    return count
                lines, end = self._next()
                if not lines:
                    self._remove()
                    return count
            events = list(self._decoded(lines))
            if events:
                write(events)
            count += len(events)
            self._delivered = end

    def close(self) -> None:
        """Let go of the file; what waits in it goes on waiting."""
        with self._mutex:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _open(self, *, create: bool) -> int:
        if self._file is not None:
            return self._file
        new = create and not self.path.exists()
        file = os.open(self.path, os.O_RDWR | (os.O_CREAT if create else 0), 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self.path.exists() or os.fstat(file).st_ino != self.path.stat().st_ino:
                raise BlockingIOError("another process has just delivered this spool")
            if new:
                sync_folder(self.path.parent)
            _trim(file)
        except BaseException:
            os.close(file)
            raise
        self._file, self._delivered = file, 0
        return file

    def _next(self) -> tuple[list[bytes], int]:
        file = self._open(create=False)
        lines: list[bytes] = []
        end = self._delivered
        with open(os.dup(file), "rb") as reader:
            reader.seek(end)
            for line in reader:
                end += len(line)
                if line.startswith(_HEADER):
                    continue
                lines.append(line)
                if len(lines) == CHUNK:
                    break
        return lines, end

    def _decoded(self, lines: Sequence[bytes]) -> Iterator[Event]:
        for line in lines:
            try:
                yield from_json(line)
            except ValueError as error:
                aside = self.path.with_suffix(".unreadable")
                log.warning("%s: a line is no event (%s); it is kept in %s", self.path, error, aside.name)
                with open(aside, "ab") as file:
                    file.write(line)

    def _remove(self) -> None:
        assert self._file is not None
        self.path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = None


def _trim(file: int) -> None:
    """Cut off a last line that a killed process did not finish: it was never promised to be there."""
    size = os.lseek(file, 0, os.SEEK_END)
    keep = size
    while keep:
        step = min(keep, 1 << 16)
        place = os.pread(file, step, keep - step).rfind(b"\n")
        if place >= 0:
            keep = keep - step + place + 1
            break
        keep -= step
    if keep < size:
        os.ftruncate(file, keep)
