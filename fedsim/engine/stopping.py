"""Ctrl-C and SIGTERM: stop at once, but never in the middle of a write."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Stopped(BaseException):
    """The user or the system asked this process to stop."""

    def __init__(self, signum: int) -> None:
        self.exit_code = EXIT_CODES.get(signal.Signals(signum), 130)
        self.word = "interrupted" if signum == signal.SIGINT else "terminated"
        super().__init__(self.word)


class Signals:
    """Turns the first signal into `Stopped`, held back while `shielded`; the second one ends the process at once."""

    def __init__(self) -> None:
        self._depth = 0
        self._received: int | None = None

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._received is not None:
            os._exit(EXIT_CODES.get(signal.Signals(signum), 130))
        self._received = signum
        if self._depth == 0:
            raise Stopped(signum)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Listen to SIGINT and SIGTERM inside this block (in the main thread; elsewhere nothing changes)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in EXIT_CODES}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Hold a signal back until this block is left."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0 and self._received is not None:
                raise Stopped(self._received)
