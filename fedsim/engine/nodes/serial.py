"""The serial grid: every node in this process, one after the other. It is the specification."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any, ClassVar

from flwr.app import Message, RecordDict

from fedsim.clients.node import Turn
from fedsim.core import ClientData, Reply
from fedsim.engine.nodes.grid import NodeGrid
from fedsim.engine.nodes.host import Host, HostPlan, finished
from fedsim.strategies.flower import codec


class SerialGrid(NodeGrid):
    """Nodes answer in ascending order, in the caller's process."""

    host_type: ClassVar[type[Any]] = Host
    carries: ClassVar[bool] = True
    """Tasks and replies need not become bytes: they stay in this process."""

    def __init__(self, plan: HostPlan, data: ClientData, num_nodes: int) -> None:
        super().__init__(num_nodes)
        self.host = self.host_type(plan, data, range(num_nodes))
        self._waiting: dict[str, tuple[int, RecordDict]] = {}
        self._served: dict[str, Reply] = {}

    def submit(self, batch: dict[str, Message]) -> None:
        """Note the work; it is done when the replies are collected."""
        self._waiting.update({key: (self.node_of(message), message.content) for key, message in batch.items()})

    def begin(self, message_ids: Iterable[str]) -> list[Turn]:
        """Take up some messages, nodes ascending, whose clients train together with those of other runs."""
        if not isinstance(self.host, Host):
            return []
        return self.host.begin([self._waiting[key] for key in self._ordered(message_ids)])

    def serve(self, message_ids: Iterable[str], replies: Sequence[Reply], seconds: float) -> None:
        """Take what nodes replied to messages that were taken up, and the time that it took."""
        self._served = dict(zip(self._ordered(message_ids), replies, strict=True))
        self.host_seconds, self.served = {"serial": seconds}, {"serial": [*range(self.num_nodes)]}

    def _ordered(self, message_ids: Iterable[str]) -> list[str]:
        return sorted(message_ids, key=lambda key: self._waiting[key][0])

    def gather(self, message_ids: Sequence[str]) -> dict[str, RecordDict]:
        """Do the work, unless it has been done."""
        began = perf_counter()
        turns = [] if self._served else self.begin(message_ids)
        if turns:
            replies = list(finished(turns, self.host.streams))
            self.serve(message_ids, replies, perf_counter() - began)
        ordered = self._ordered(message_ids)
        if self._served:
            served, self._served = self._served, {}
            return {key: codec.Carried(served[key]) for key in ordered if self._waiting.pop(key)}
        contents, seconds = self.host.handle_all([self._waiting.pop(key) for key in ordered])
        self.host_seconds, self.served = {"serial": seconds}, {"serial": [*range(self.num_nodes)]}
        return dict(zip(ordered, contents, strict=True))

    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """Call the nodes one after the other."""
        found: dict[int, Any] = self.host.each(method, arguments)
        return found

    def describe(self) -> dict[str, Any]:
        """Return the place and the training path."""
        return {"kind": "serial", "nodes": self.num_nodes, "training": self.host.trainer.describe()}

    def close(self) -> None:
        """Nothing to release."""
