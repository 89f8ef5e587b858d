"""A limit on how long training may take, in the process that trains: a timer that interrupts Python code.

It works in the main thread, where hosts train. Code that never comes back to Python is beyond it; on Ray the driver
ends such a host altogether.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class ClientTimeoutError(Exception):
    """Training took longer than `client.timeout_s` allows."""


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise ClientTimeoutError inside this block when it takes longer than `seconds`; None sets no limit."""
    if seconds is None:
        yield
        return
    assert threading.current_thread() is threading.main_thread(), "only the main thread can be interrupted"

    def strike(signum: int, frame: FrameType | None) -> None:
        raise ClientTimeoutError(f"took longer than {seconds:g} s (client.timeout_s)")

    before = signal.signal(signal.SIGALRM, strike)
    # again and again: Python swallows what is raised inside a destructor or a weak reference's callback
    signal.setitimer(signal.ITIMER_REAL, seconds, max(seconds, 0.1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
