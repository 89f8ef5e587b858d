"""A run as something that can wait: it says what it needs from its nodes, and goes on once that is there.

Who drives a single run collects the replies and hands them in. Who drives many at once may have all of their clients
trained together before each goes on with its own.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

from fedsim.engine.nodes.grid import Collected, NodeGrid

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Wanted:
    """What a run waits for: the replies to messages that were sent over its grid."""

    grid: NodeGrid
    sent: Iterable[str]

    def collect(self) -> Collected:
        """Wait for the replies."""
        return self.grid.collect(self.sent)


Play = Generator[Wanted, Collected, T]
"""A run, or a part of one: it yields what it waits for, is sent what came, and returns what it comes to."""


def alone(play: Play[T]) -> T:
    """Drive a run by itself, to its end; what collecting raises, it raises inside the run."""
    try:
        wanted = next(play)
        while True:
            try:
                collected = wanted.collect()
            except BaseException as error:
                wanted = play.throw(error)
            else:
                wanted = play.send(collected)
    except StopIteration as end:
        found: T = end.value
        return found
