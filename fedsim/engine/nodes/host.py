"""A host runs one or more nodes: in this process for the serial grid, in a Ray actor for the Ray grid.

The same class does both, so that the Ray grid can equal the serial grid bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from flwr.app import RecordDict

from fedsim.clients import numerics
from fedsim.clients.delivery import Faults
from fedsim.clients.gossip.node import PeerPlan
from fedsim.clients.kernels.stream import Streams
from fedsim.clients.memory import Memory, MemoryType
from fedsim.clients.node import Node, Turn
from fedsim.clients.training import Trainer
from fedsim.core import ClientData, LocalWork, Reply
from fedsim.engine.checkpoint.remote import called
from fedsim.strategies.flower import codec, stock


@dataclass(frozen=True)
class HostPlan:
    """What a host needs to know to run its nodes; it travels to Ray actors, the data apart from it by reference."""

    model: Any
    work: LocalWork
    seed: int
    device: str = "cpu"
    memory: MemoryType | None = None
    memory_folder: Path | None = None
    faults: Faults | None = None
    peers: PeerPlan | None = None


class Host:
    """The nodes of one host, sharing a trainer."""

    def __init__(self, plan: HostPlan, data: ClientData, nodes: Sequence[int]) -> None:
        numerics.pin()
        self.plan = plan
        self.num_examples = data.num_examples
        self._data = data
        self._proximal: dict[float, Trainer] = {}
        self.streams = Streams()
        self.trainer = Trainer(plan.model, plan.work, data, plan.seed, plan.device)
        self.nodes = {
            index: Node(index, self.trainer, self._memory(index), plan.faults, plan.work.timeout_s) for index in nodes
        }

    def _memory(self, node: int) -> Memory | None:
        if self.plan.memory is None:
            return None
        folder = self.plan.memory_folder
        path = None if folder is None else folder / f"node-{node}.rows"
        return Memory(self.trainer.layout.size, self.plan.memory, path)

    def handle(self, node: int, content: RecordDict) -> RecordDict:
        """Answer one message: a task brings a reply, a stock instruction a client's model."""
        if not codec.is_task(content):
            return self._stock(node, content)
        return codec.encode_reply(self.nodes[node].train(codec.decode_task(content)))

    def _stock(self, client: int, content: RecordDict) -> RecordDict:
        """Train one client as stock strategies ask; client i is node i."""
        layout = self.trainer.layout
        told = stock.decode(content, layout)
        (lane,) = self._trainer(told.proximal_mu).lanes(told.params, np.array([client]), told.round)
        return stock.encode(layout, told, lane.deltas[0], int(self.num_examples[client]), float(lane.losses[0]))

    def _trainer(self, proximal_mu: float | None) -> Trainer:
        """Return the trainer for a mu that comes with the message, as FedProx sends it; None is the scenario's own."""
        if proximal_mu is None or proximal_mu == self.plan.work.proximal_mu:
            return self.trainer
        if proximal_mu not in self._proximal:
            plan = self.plan
            work = replace(plan.work, proximal_mu=proximal_mu)
            self._proximal[proximal_mu] = Trainer(plan.model, work, self._data, plan.seed, plan.device)
        return self._proximal[proximal_mu]

    def alone(self, content: RecordDict, client: int) -> None:
        """Train one client of a task by itself and throw the result away."""
        task = codec.decode_task(content)
        for _ in self.trainer.lanes(task.params, np.array([client]), task.round):
            continue

    def handle_all(self, calls: Sequence[tuple[int, RecordDict]]) -> tuple[list[RecordDict], float]:
        """Answer a round's messages for this host, nodes ascending; also the seconds it took."""
        began = perf_counter()
        calls = sorted(calls, key=lambda call: call[0])
        if not all(codec.is_task(content) for _, content in calls):
            return [self.handle(node, content) for node, content in calls], perf_counter() - began
        turns = [self.nodes[node].begin(codec.decode_task(content)) for node, content in calls]
        replies = [codec.encode_reply(reply) for reply in finished(turns, self.streams)]
        return replies, perf_counter() - began

    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """Call a method of every node that `arguments` names and that lives here; results by node."""
        mine = ((index, node) for index, node in self.nodes.items() if index in arguments)
        return {index: called(node, method, arguments[index]) for index, node in mine}


def finished(turns: Sequence[Turn], streams: Streams) -> Iterator[Reply]:
    """Train the lanes of several nodes, together where they may be, and yield the nodes' replies in their order."""
    asked = [turn.lanes() for turn in turns]
    results = streams.train([lane for lanes in asked for lane in lanes])
    first = 0
    for turn, lanes in zip(turns, asked, strict=True):
        yield turn.finish(results.of(range(first, first + len(lanes))) if lanes else None)
        first += len(lanes)
