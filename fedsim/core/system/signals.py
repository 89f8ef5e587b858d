"""Ctrl-C, SIGTERM and a terminal that hangs up: stop at once, but never in the middle of a write."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
"""What ends a run in order, and its exit code; a terminal that closes (SIGHUP) ends it as SIGTERM does."""


class Stopped(KeyboardInterrupt):
    """The user or the system asked this process to stop.

    A `KeyboardInterrupt`, because libraries let that pass from inside their own calls, and nothing else.
    """

    def __init__(self, signum: int) -> None:
        self.signum = signum
        self.exit_code = EXIT_CODES.get(signal.Signals(signum), 130)
        self.word = "interrupted" if signum == signal.SIGINT else "terminated"
        super().__init__(self.word)


class Signals:
    """Turns the first signal into `Stopped`, held back while `shielded`; the second one ends the process at once.

    Handlers belong to the process, so that there is one of these in it: `listener()`.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._received: int | None = None
        self._held_back = False
        self._before: dict[signal.Signals, Any] = {}

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._received is not None:
            os._exit(EXIT_CODES.get(signal.Signals(signum), 130))
        self._received = signum
        self._held_back = self._depth > 0
        if not self._held_back:
            raise Stopped(signum)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Listen to SIGINT, SIGTERM and SIGHUP inside this block (in the main thread; elsewhere nothing changes).

        Blocks may be nested; the outermost one installs the handlers and puts back what was there before.
        """
        outermost = not self._before and threading.current_thread() is threading.main_thread()
        if outermost:
            self._received, self._held_back = None, False
            heard = [number for number in EXIT_CODES if number != signal.SIGHUP or not _under_nohup()]
            self._before = {number: signal.signal(number, self._handle) for number in heard}
        try:
            yield
        except Stopped:
            raise
        except KeyboardInterrupt:  # what a library made of it
            raise Stopped(self._received or signal.SIGINT) from None
        finally:
            if outermost:
                for number, handler in self._before.items():
                    signal.signal(number, handler)
                self._before = {}

    def listen_again(self) -> None:
        """Take the signals back from a library that has put its own handlers in place of these."""
        if threading.current_thread() is threading.main_thread():
            for number in self._before:
                signal.signal(number, self._handle)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Hold a signal back until this block is left."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0 and self._held_back and self._received is not None:
                self._held_back = False
                raise Stopped(self._received)


def _under_nohup() -> bool:
    """Whether who started this process wants it to outlive the terminal."""
    return signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@cache
def listener() -> Signals:
    """Return the one listener of this process."""
    return Signals()
