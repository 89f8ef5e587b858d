"""The recorder: hands events to sinks, each in a thread of its own, so that no sink can slow or stop a run.

`emit` costs a few microseconds: a check of names and one put into a queue per sink. Everything else (batching,
databases, terminals, retries) happens behind the queues.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from fedsim.metrics.events import Evaluated, Event, RolledBack, RoundDone
from fedsim.metrics.registry import check
from fedsim.metrics.sinks.base import Sink

log = logging.getLogger(__name__)

BATCH = 2000
"""A batch is handed over early when it has grown to this many events."""


class Recorder:
    """Emits events to sinks. Use as a context manager, or call `close`."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._pumps = [_Pump(sink) for sink in sinks]
        self._known: set[str] = set()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def emit(self, event: Event) -> None:
        """Tell every sink, without waiting for any. A value that is not registered is a mistake of ours."""
        if isinstance(event, RoundDone | Evaluated) and not event.values.keys() <= self._known:
            check(event.values)
            self._known.update(event.values)
        for pump in self._pumps:
            pump.put(event)

    def discard_after(self, run: str, round: int) -> None:
        """Declare everything told of rounds beyond `round` void, in order with what is emitted before and after."""
        self.emit(RolledBack(run=run, round=round))

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until every sink has read what was emitted so far; the database's events are then durable.

        Say this before a checkpoint is committed: what a resumed run does not repeat must not be lost. Returns False
        when a sink did not make it in time.
        """
        deadline = time.monotonic() + timeout_s
        barriers = [pump.barrier() for pump in self._pumps]
        return all(barrier.wait(max(0.0, deadline - time.monotonic())) for barrier in barriers)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Let every sink read what was emitted, and finish. Returns False when one hung. Closing twice is allowed."""
        deadline = time.monotonic() + timeout_s
        for pump in self._pumps:
            pump.stop()
        # every sink is waited for, also after one that hung
        return all([*(pump.join(max(0.0, deadline - time.monotonic())) for pump in self._pumps)])


class _Stop:
    """The last thing in a queue."""


class _Pump:
    """One sink, its queue and its thread."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._queue: queue.SimpleQueue[Event | threading.Event | _Stop] = queue.SimpleQueue()
        self._hurry = threading.Event()
        self._batch: list[Event] = []
        self._broken = False
        self._stopped = False
        name = type(sink).__name__
        self._thread = threading.Thread(target=self._run, name=f"fedsim-{name}", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        self._queue.put(event)
        if self._queue.qsize() >= BATCH:
            self._hurry.set()

    def barrier(self) -> threading.Event:
        passed = threading.Event()
        if self._stopped:
            passed.set()
        else:
            self._queue.put(passed)
            self._hurry.set()
        return passed

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._queue.put(_Stop())
            self._hurry.set()

    def join(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            return True
        left = [*self._batch, *(item for item in _drain(self._queue) if not isinstance(item, threading.Event | _Stop))]
        log.warning("%s hangs and is left behind with %d events", type(self._sink).__name__, len(left))
        if left:
            self._guarded(lambda: self._sink.rescue(left))
        return False

    def _run(self) -> None:
        while True:
            items = self._gather()
            self._batch = [item for item in items if not isinstance(item, threading.Event | _Stop)]
            if self._batch:
                self._guarded(lambda: self._sink.write(self._batch))
                self._batch = []
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()
            if any(isinstance(item, _Stop) for item in items):
                break
            self._guarded(self._sink.tick)
        self._guarded(self._sink.close)

    def _gather(self) -> list[Event | threading.Event | _Stop]:
        """Wait for something, then a little longer: one wake-up per batch, not one per event."""
        try:
            first = self._queue.get(timeout=1.0)
        except queue.Empty:
            return []
        if not isinstance(first, threading.Event | _Stop):
            self._hurry.wait(self._sink.interval_s)
        self._hurry.clear()
        return [first, *_drain(self._queue)]

    def _guarded(self, call: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            call()
        except SystemExit:  # what rich raises when who read the terminal's lines has gone, as `| head` does
            self._broken = True
        except Exception as error:  # a sink must never stop a run
            self._broken = True
            log.warning("%s failed and is left out from here on: %s", type(self._sink).__name__, error)
            log.debug("its traceback", exc_info=error)


def _drain(
    source: queue.SimpleQueue[Event | threading.Event | _Stop],
) -> list[Event | threading.Event | _Stop]:
    items = []
    while True:
        try:
            items.append(source.get_nowait())
        except queue.Empty:
            return items
