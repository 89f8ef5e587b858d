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
from fedsim.clients.foreign.kernel import Carried, Opens
from fedsim.clients.foreign.states import States
from fedsim.clients.formats import MemoryType
from fedsim.clients.gossip.node import PeerPlan
from fedsim.clients.kernels.stream import Streams
from fedsim.clients.memory import Memory
from fedsim.clients.node import Node, Turn
from fedsim.clients.training import Trainer
from fedsim.clients.uplink import UplinkPlan
from fedsim.core import ClientData, ClientHalf, LocalWork, Reply
from fedsim.core.sums import DELTA
from fedsim.engine.checkpoint.remote import called
from fedsim.strategies.flower import codec, stock
from fedsim.task import LearningTask


@dataclass(frozen=True)
class HostPlan:
    """What a host needs to know to run its nodes; it travels to Ray actors, the data apart from it by reference.

    `memories` are the names of what clients keep, `memory` the number format; None when they keep nothing. `halves` are
    what they do beside plain training, `uplink` how they send.
    """

    model: Any
    work: LocalWork
    seed: int
    device: str = "cpu"
    memory: MemoryType | None = None
    memory_folder: Path | None = None
    memories: tuple[str, ...] = (DELTA,)
    halves: tuple[ClientHalf, ...] = ()
    faults: Faults | None = None
    peers: PeerPlan | None = None
    task: LearningTask | None = None
    foreign: Opens | None = None
    uplink: UplinkPlan | None = None


class Host:
    """The nodes of one host, sharing a trainer."""

    def __init__(self, plan: HostPlan, data: ClientData, nodes: Sequence[int]) -> None:
        numerics.pin()
        self.plan = plan
        self.num_examples = data.num_examples
        self._data = data
        self._proximal: dict[float, Trainer] = {}
        self.streams = Streams()
        self.trainer = self._made(plan.work)
        self.nodes = {
            index: Node(
                index,
                self.trainer,
                self.memories(index),
                plan.faults,
                plan.work.timeout_s,
                halves=plan.halves,
                states=None if plan.foreign is None else States(),
                uplink=plan.uplink,
            )
            for index in nodes
        }

    def _made(self, work: LocalWork) -> Trainer:
        plan = self.plan
        loss = plan.task.loss if plan.task else None
        return Trainer(plan.model, work, self._data, plan.seed, plan.device, loss, plan.foreign)

    def memories(self, node: int) -> dict[str, Memory]:
        """Return empty memories of a node's clients, by name."""
        plan, size = self.plan, self.trainer.layout.size
        if plan.memory is None:
            return {}
        stems = {name: f"node-{node}" if name == DELTA else f"node-{node}.{name}" for name in plan.memories}
        paths = {name: plan.memory_folder and plan.memory_folder / f"{stem}.rows" for name, stem in stems.items()}
        return {name: Memory(size, plan.memory, path, seed=plan.seed, name=name) for name, path in paths.items()}

    def handle(self, node: int, content: RecordDict) -> RecordDict:
        """Answer one message: a task brings a reply, a stock instruction a client's model."""
        if not codec.is_task(content):
            return self._stock(node, content)
        return codec.encode_reply(self.nodes[node].train(codec.decode_task(content)))

    def _stock(self, client: int, content: RecordDict) -> RecordDict:
        """Train one client as stock strategies ask; client i is node i."""
        layout = self.trainer.layout
        told = stock.decode(content, layout)
        states = self.nodes[client].states
        begins = None if states is None else Carried(states.open(told.round))
        (lane,) = self._trainer(told.proximal_mu).lanes(told.params, np.array([client]), told.round, foreign=begins)
        if states is not None and lane.states is not None:
            states.write(lane.clients, lane.states)
        buffers = None if lane.buffers is None else lane.buffers[0]
        return stock.encode(
            layout, told, lane.deltas[0], int(self.num_examples[client]), float(lane.losses[0]), buffers
        )

    def _trainer(self, proximal_mu: float | None) -> Trainer:
        """Return the trainer for a mu that comes with the message, as FedProx sends it; None is the scenario's own."""
        if proximal_mu is None or proximal_mu == self.plan.work.proximal_mu:
            return self.trainer
        if proximal_mu not in self._proximal:
            self._proximal[proximal_mu] = self._made(replace(self.plan.work, proximal_mu=proximal_mu))
        return self._proximal[proximal_mu]

    def alone(self, node: int, content: RecordDict, client: int) -> None:
        """Train one client of a task by itself and throw the result away."""
        self.nodes[node].alone(codec.decode_task(content), client)

    def handle_all(self, calls: Sequence[tuple[int, RecordDict]]) -> tuple[list[RecordDict], float]:
        """Answer a round's messages for this host, nodes ascending; also the seconds it took."""
        began = perf_counter()
        calls = sorted(calls, key=lambda call: call[0])
        if not all(codec.is_task(content) for _, content in calls):
            return [self.handle(node, content) for node, content in calls], perf_counter() - began
        replies = [codec.encode_reply(reply) for reply in finished(self.begin(calls), self.streams)]
        return replies, perf_counter() - began

    def begin(self, calls: Sequence[tuple[int, RecordDict]]) -> list[Turn]:
        """Take up the tasks of a round's messages, in their order; none where one of them is no task."""
        if not all(codec.is_task(content) for _, content in calls):
            return []
        return [self.nodes[node].begin(codec.decode_task(content)) for node, content in calls]

    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """Call a method of every node that `arguments` names and that lives here; results by node."""
        mine = ((index, node) for index, node in self.nodes.items() if index in arguments)
        return {index: called(node, method, arguments[index]) for index, node in mine}


def finished(turns: Sequence[Turn], streams: Streams) -> Iterator[Reply]:
    """Train the lanes of several nodes, together where they may be, and yield the nodes' replies in their order."""
    results = streams.train([lane for turn in turns for lane in turn.asked])
    first = 0
    for turn in turns:
        last = first + len(turn.asked)
        yield turn.finish(results.of(range(first, last)) if turn.asked else None)
        first = last
