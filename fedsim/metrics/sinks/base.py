"""What a sink is: a reader of events, run in a thread of its own, that can neither slow nor stop a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from fedsim.metrics.events import Event


class Sink(ABC):
    """Reads events in the order in which they happened. All methods but `rescue` are called from one thread.

    A sink that raises is dropped with one warning; a sink that must not lose anything keeps its own reserve.
    """

    interval_s: float = 0.25
    """Events are handed over in batches, at most this long after they happened."""

    @abstractmethod
    def write(self, events: Sequence[Event]) -> None:
        """Read a batch, at least one event."""

    def tick(self) -> None:  # noqa: B027 - a sink may have nothing to do
        """Do what waits for a better moment; called about once a second when nothing happens."""

    def close(self) -> None:  # noqa: B027
        """Finish; no event follows."""

    def rescue(self, events: Sequence[Event]) -> None:  # noqa: B027
        """Keep events that could not be handed over because `write` hangs. Called from another thread, at the end."""


class _Whole(Sink):
    def __init__(self, part: Any) -> None:
        self.part = part
        self.interval_s = getattr(part, "interval_s", Sink.interval_s)
        for name in ("tick", "close", "rescue"):
            if hasattr(part, name):
                setattr(self, name, getattr(part, name))

    def write(self, events: Sequence[Event]) -> None:
        self.part.write(events)


def whole(part: Any) -> Sink:
    """Return a sink of what has at least `write`.

    >>> class Mine:
    ...     def write(self, events): ...
    >>> whole(Mine()).interval_s, whole(Mine()).close()
    (0.25, None)
    """
    return part if isinstance(part, Sink) else _Whole(part)
