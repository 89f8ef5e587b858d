"""What both grids share: Flower's `Grid` interface over fixed nodes, in the order of their numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedsim.core import ClusterLostError
from fedsim.core.sums import DELTA, Vector

FIRST_NODE_ID = 1
"""Flower's node ids are these plus the node's number; fixed, so that no order depends on chance."""


class HostLostError(ClusterLostError):
    """A host is gone with the memories of its clients: its work cannot simply be sent again."""


Notice = Callable[..., None]
"""Told (text, kind, host, round) that something takes long, or that a host was lost."""


@dataclass(frozen=True)
class Collected:
    """The replies to some messages, and how long each host worked on them; no host when there was nothing to do.

    `seconds` is a run's share of the time, where several runs were served at once.
    """

    messages: Sequence[Message] = ()
    host_seconds: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None


class FixedGrid(Grid):
    """A Flower `Grid` over `num_nodes` nodes that are always connected, with numbers instead of chance for ids."""

    _run_id: ClassVar[int] = 1

    def __init__(self, num_nodes: int) -> None:
        self.num_nodes = num_nodes
        self.available: Sequence[int] | None = None
        self._run = Run.create_empty(run_id=self._run_id)
        # a Message cannot be made outside a Flower task; the engine is one
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, self._run_id, 1

    @property
    def run(self) -> Run:
        """Flower's description of the run."""
        return self._run

    def set_run(self, run: Run) -> None:
        """Take over another description."""
        self._run = run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Return a message from the server to a node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes that can be reached: all of them, or those of `available` when it is set."""
        nodes = range(self.num_nodes) if self.available is None else self.available
        return [FIRST_NODE_ID + node for node in nodes]

    def node_of(self, message: Message) -> int:
        """Return the number of the node that a message is for."""
        return message.metadata.dst_node_id - FIRST_NODE_ID


class MessageGrid(FixedGrid):
    """A fixed grid that answers in the order of the messages, when all that was asked is done."""

    def __init__(self, num_nodes: int) -> None:
        super().__init__(num_nodes)
        self.host_seconds: dict[str, float] = {}
        self.served: dict[str, list[int]] = {}
        self._sent: dict[str, Message] = {}
        self._count = 0

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages off; return their ids."""
        ids = []
        batch: dict[str, Message] = {}
        for message in messages:
            self._count += 1
            message_id = f"{self._count:x}"
            message.metadata.__dict__["_message_id"] = message_id
            batch[message_id] = message
            ids.append(message_id)
        self._sent.update(batch)
        self.submit(batch)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Wait for the replies to some messages; return them in the order of the ids."""
        wanted = [message_id for message_id in message_ids if message_id in self._sent]
        contents = self.gather(wanted)
        return [
            Message(contents[message_id], reply_to=self._sent.pop(message_id))
            for message_id in wanted
            if message_id in contents
        ]

    def collect(self, message_ids: Iterable[str]) -> Collected:
        """Wait for the replies to some messages, and say what they took."""
        messages = list(self.pull_messages(message_ids))
        return Collected(messages, dict(self.host_seconds) if messages else {})

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Push, then pull."""
        return self.pull_messages(self.push_messages(messages))

    @abstractmethod
    def submit(self, batch: dict[str, Message]) -> None:
        """Start work on a batch of messages by id."""

    @abstractmethod
    def gather(self, message_ids: Sequence[str]) -> dict[str, RecordDict]:
        """Return the finished contents of the replies to some messages."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what the summary says about where the work was done."""

    @abstractmethod
    def close(self) -> None:
        """Release everything."""


class NodeGrid(MessageGrid):
    """The grid of a run: its nodes also do what is no message, such as saving their clients' memories.

    `notice` is told what is being waited for, and of hosts that are lost.
    """

    def __init__(self, num_nodes: int, notice: Notice | None = None) -> None:
        super().__init__(num_nodes)
        self.notice: Notice = notice or unheard
        self.chosen = ""

    def place(self) -> dict[str, Any]:
        """Return what the summary says about where the work was done, and why there where the scenario left it open."""
        return {**self.describe(), **({"chosen": self.chosen} if self.chosen else {})}

    @abstractmethod
    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """Call a method of the nodes that `arguments` names; return the results by node, ascending."""

    def audit(self, weights: Vector, name: str = DELTA) -> Vector:
        """Return sum_i weights_i m_i over all memories of a name, afresh, nodes ascending."""
        parts = self.each("audit", dict.fromkeys(range(self.num_nodes), (weights, name)))
        total: Vector = np.zeros_like(parts[0])
        for part in parts.values():
            total += part
        return total

    def replace_lost(self) -> None:
        """Start new hosts in place of lost ones, empty; and forget what was under way."""

    def hurry(self, limit_s: float) -> None:
        """Wait no longer than this for any host from here on."""


def unheard(text: str, kind: str = "waiting", host: str | None = None, round: int | None = None) -> None:
    """Tell nobody."""
