"""The serial grid for gossip: nodes hear each other inside one process. It is the specification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from flwr.app import RecordDict

from fedsim.core import ClientData
from fedsim.engine.gossip.peers import PeerHost, Publications
from fedsim.engine.nodes.host import HostPlan
from fedsim.engine.nodes.serial import SerialGrid


class PeerSerialGrid(SerialGrid):
    """Nodes answer in ascending order and hear what was published in the phase before."""

    host_type: ClassVar[type[Any]] = PeerHost

    def __init__(self, plan: HostPlan, data: ClientData, num_nodes: int) -> None:
        super().__init__(plan, data, num_nodes)
        self._published: list[Publications] = []

    def gather(self, message_ids: Sequence[str]) -> dict[str, RecordDict]:
        """Do the work of a phase; keep what it published for the next."""
        ordered = sorted(message_ids, key=lambda key: self._waiting[key][0])
        calls = [self._waiting.pop(key) for key in ordered]
        contents, seconds, offers = self.host.handle_all(calls, self._published)
        self._published = [offers]
        self.host_seconds = {"serial": seconds}
        return dict(zip(ordered, contents, strict=True))
