"""The grid of plain processes for gossip: what hosts publish stands on their boards, and never comes to the driver."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar

from fedsim.engine.gossip.hearing import HearingGrid
from fedsim.engine.gossip.peers import PeerHost
from fedsim.engine.nodes.grid import HostLostError
from fedsim.engine.nodes.hosted import NodeJob
from fedsim.engine.nodes.shared_memory import Reader
from fedsim.engine.processes.grid import ProcessGrid
from fedsim.engine.processes.letters import Letter, Post
from fedsim.engine.processes.worker import Worker

PHASES = 2
"""Publications that stay on their boards: the last, and the one before it, which others may still be reading."""


class PeerWorker(Worker):
    """A host of gossip in a process of its own."""

    host_type: ClassVar[type[Any]] = PeerHost

    def __init__(self, plan: Any, data: Any, nodes: Sequence[int]) -> None:
        super().__init__(plan, data, nodes)
        self._offered: deque[Post] = deque()

    def handle_all(self, *call: Any) -> Any:
        """Answer a phase's messages; what is published goes on a board, and only its letter to the driver."""
        calls, published = call
        try:
            heard = [letter.read(Reader()) for letter in published]
        except (OSError, ValueError) as gone:
            raise HostLostError(f"a host misses what a lost host had published ({gone})") from gone
        replies, seconds, offers = self.host.handle_all(calls, heard)
        return replies, seconds, [self._offer(offers)] if offers else []

    def _offer(self, offers: Any) -> Letter:
        self._offered.append(Post())
        while len(self._offered) > PHASES:
            self._offered.popleft().close()
        (letter,) = self._offered[-1].write([offers])
        return letter


class PeerProcessGrid(HearingGrid, ProcessGrid):
    """Nodes in processes that hear each other. Hosts hold the models, so that a lost one rolls the run back."""

    worker_type: ClassVar[type[Worker]] = PeerWorker

    def _given(self, job: NodeJob) -> tuple[Any, ...]:
        return job.calls, self.published
