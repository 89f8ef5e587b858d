"""A node hosts a fixed group of clients: it trains those who take part and replies with sums, never with models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter

import numpy as np

from fedsim.clients.delivery import Delivery, Faults
from fedsim.clients.foreign.kernel import Carried
from fedsim.clients.foreign.states import States
from fedsim.clients.formats import Rows
from fedsim.clients.halves import Halves
from fedsim.clients.kernels import LaneResult
from fedsim.clients.kernels.stream import Lane
from fedsim.clients.memory import Memory
from fedsim.clients.sketch import Sketch
from fedsim.clients.training import Trainer
from fedsim.clients.uplink import WRITTEN, Uplink, UplinkPlan
from fedsim.core import ClientHalf, Reply, Task
from fedsim.core.client_half import NOTHING, PLAIN, Given, Order
from fedsim.core.contracts import Ids, Parameters
from fedsim.core.messages import PAYLOAD
from fedsim.core.sums import BUFFERS, DELTA, Asked, Dot, LinearSum, Vector

TAKEN = "taken"
"""The memory of how many rounds a client delivered in, where batches are carried over rounds."""
PROBE_ROWS = 64
"""Memories read at a time by a probe, or for a sum over all of them."""


class Node:
    """One Flower node: a group of clients, their trainer and their memories.

    A client that raises or delivers something not finite is named in the reply and enters neither a sum nor a memory.

    Parameters
    ----------
    memories : what the clients keep, by name; `delta` is h_i.
    halves : what clients do beside plain training; their memories are among `memories`.
    uplink : how clients send; None where vectors travel as they are.
    """

    def __init__(
        self,
        index: int,
        trainer: Trainer,
        memories: Mapping[str, Memory] | None = None,
        faults: Faults | None = None,
        timeout_s: float | None = None,
        halves: Sequence[ClientHalf] = (),
        states: States | None = None,
        uplink: UplinkPlan | None = None,
    ) -> None:
        self.index = index
        self.trainer = trainer
        self.memories = dict(memories or {})
        self.faults = faults
        self.timeout_s = timeout_s
        self.states = states
        held = trainer.layout.buffers
        if held.local and held.size:  # what each client keeps for itself of the module
            self.memories[BUFFERS] = Memory(held.size)
        if trainer.carries:
            self.memories[TAKEN] = Memory(1)
        self._uplink = uplink
        self._sending: Uplink | None = None
        if uplink is not None and uplink.rescales:
            self.memories[WRITTEN] = Memory(1)
        self.halves = Halves(halves, trainer, self.memories)

    @property
    def memory(self) -> Memory | None:
        """The memory of deltas, h_i."""
        return self.memories.get(DELTA)

    def train(self, task: Task) -> Reply:
        """Train the task's clients and return the sums it asks for, over the clients that delivered."""
        return self.begin(task).finish()

    def begin(self, task: Task) -> Turn:
        """Take up a task, whose clients may train together with those of other nodes."""
        began = perf_counter()
        self._open(task.round)
        delivery = Delivery(
            self.trainer,
            self.faults,
            task.params,
            task.clients,
            task.round,
            timeout_s=self.timeout_s,
            buffers=self._buffers(task.clients),
            struck=task.struck,
            given=self._given(task),
            foreign=self._carried(task),
        )
        return Turn(self, task, delivery, perf_counter() - began)

    def finish(self, task: Task, delivery: Delivery, lanes: Iterator[LaneResult] | None) -> Reply:
        """Add up what the lanes bring, clients ascending, and return the reply."""
        began = perf_counter()
        totals = {name: np.zeros(self._length(one)) for name, one in task.sums.items()}
        delivered: list[Ids] = []
        if self._uplink is not None:
            self._sending = Uplink(self._uplink, self.memories, self.trainer.rate, task.round)
        done = delivery.run(partial(self._add, task, totals, delivered), lanes)
        clients = np.concatenate(delivered) if delivered else np.zeros(0, np.int64)
        self._add_absent(task, totals, clients)
        return Reply(
            node=self.index,
            round=task.round,
            clients=clients,
            sums=totals,
            statistics=self._counted(done.statistics),
            failures=done.failures,
            seconds={"train": done.train_s, "node": perf_counter() - began},
        )

    def _counted(self, statistics: Mapping[str, float]) -> Mapping[str, float]:
        """Return what is counted of a round, of deltas as the server reads them."""
        sent = self._sending
        if sent is None or "clients" not in statistics:
            return statistics
        return {**statistics, "delta_square": sent.square, PAYLOAD: float(sent.payload)}

    def alone(self, task: Task, client: int) -> None:
        """Train one client of a task by itself and throw the result away."""
        self._open(task.round)
        one, given = np.array([client]), self._given(task)
        kept, carried = self._buffers(one), self._carried(task)
        for _ in self.trainer.lanes(task.params, one, task.round, buffers=kept, given=given, foreign=carried):
            continue

    def probe(
        self, params: Parameters, clients: Ids, round: int, sketch: Sketch, order: Order = NOTHING
    ) -> tuple[Vector, Vector]:
        """Return what each client would send in `round`, and its memory, as sketched rows; nothing is applied.

        `order` is what would go down beside the model to these clients. Shapes (len(clients), width) both; a client
        without a memory has a row of zeros.
        """
        self._open(round)
        fresh, stale = np.zeros((len(clients), sketch.width)), np.zeros((len(clients), sketch.width))
        first = 0
        whole = Task(round, params, clients, {}, order=order)
        given, carried = self._given(whole), self._carried(whole)
        for lane in self.trainer.lanes(
            params, clients, round, given=given, buffers=self._buffers(clients), foreign=carried
        ):
            fresh[first : first + len(lane.clients)] = sketch.apply(lane.deltas)
            first += len(lane.clients)
        for first in range(0, len(clients) if self.memory is not None else 0, PROBE_ROWS):
            assert self.memory is not None
            places, rows = self.memory.read(clients[first : first + PROBE_ROWS])
            stale[first + places] = sketch.apply(rows)
        return fresh, stale

    def audit(self, weights: Vector, name: str = DELTA) -> Vector:
        """Return sum_i weights_i m_i over this node's memories of a name, summed anew."""
        assert name in self.memories, "an audit needs memories"
        return self.memories[name].weighted_sum(weights)

    def save(self, folder: Path, round: int) -> None:
        """Write what this node's clients keep, as it was after `round`, into a checkpoint's folder."""
        for part, stem in self._kept():
            part.settle(round)
            part.save(folder, stem)

    def restore(self, folder: Path | None, round: int) -> None:
        """Go back to what `save` wrote; without a folder, to the time before round 1."""
        for part, stem in self._kept():
            if folder is not None:
                part.load(folder, stem, round)
            else:
                part.clear()

    def _kept(self) -> list[tuple[Memory | States, str]]:
        """Return what clients keep on this node, and under which name it is saved."""
        kept: list[tuple[Memory | States, str]] = [(one, self._stem(name)) for name, one in self.memories.items()]
        return kept if self.states is None else [*kept, (self.states, self._stem(DELTA))]

    def _stem(self, name: str) -> str:
        return f"node-{self.index}" if name == DELTA else f"node-{self.index}.{name}"

    def _carried(self, task: Task) -> Carried | None:
        """Return what foreign work of this node's clients begins with; None where none is foreign."""
        return None if self.states is None else Carried(self.states.open(task.round), task.order.shared)

    def _open(self, round: int) -> None:
        for memory in self.memories.values():
            memory.open(round)

    def _length(self, asked: Asked) -> int:
        layout = self.trainer.layout
        if isinstance(asked, Dot):
            return 1
        return layout.buffers.size if asked.of == BUFFERS else layout.size

    def _buffers(self, clients: Ids) -> Rows | None:
        """Return the buffers (C, b) that clients have kept, or have from the start; None where they keep none."""
        if BUFFERS not in self.memories:
            return None
        rows = np.tile(self.trainer.initial()[self.trainer.layout.size :], (len(clients), 1))
        places, known = self.memories[BUFFERS].read(clients)
        rows[places] = known
        return rows

    def _given(self, task: Task) -> Callable[[Ids], Given] | None:
        """Return what tells a lane's clients what to train with beside the model; None when that is nothing."""
        told = self.halves.given(task)
        if TAKEN not in self.memories:
            return told
        return lambda clients: replace(PLAIN if told is None else told(clients), taken=self._taken(clients))

    def _taken(self, clients: Ids) -> Ids:
        """Return in how many earlier rounds each client delivered (C,)."""
        taken = np.zeros(len(clients), np.int64)
        places, rows = self.memories[TAKEN].read(clients)
        taken[places] = rows[:, 0]
        return taken

    def _add(self, task: Task, totals: dict[str, Vector], delivered: list[Ids], lane: LaneResult) -> None:
        """Add a lane to every sum, clients ascending, in float64; then note the deltas as memories."""
        delivered.append(lane.clients)
        places = np.searchsorted(task.clients, lane.clients)
        lane = self._sent(task, lane)
        made = {DELTA: lane.deltas} | ({} if lane.buffers is None else {BUFFERS: lane.buffers})
        made |= self._vectors_sent(task, lane.clients, self.halves.made(task, lane))
        old = self._old(task, lane.clients)
        for name, asked in task.sums.items():
            if isinstance(asked, Dot):
                self._multiply(totals[name], asked, places, lane.deltas, old.get(DELTA))
                continue
            here = places
            if asked.over == "all memories":
                assert task.everyone is not None, "a sum over all memories comes with all clients"
                here = np.searchsorted(task.everyone, lane.clients)
            memory, fresh = self.memories.get(asked.of), made[asked.of]
            if asked.stored and memory is not None:
                fresh = memory.stored(lane.clients, fresh)
            totals[name] += np.einsum("i,ij->j", asked.fresh[here], fresh)
            if asked.over == "cohort" and asked.stale is not None and asked.of in old:
                seen, rows = old[asked.of]
                if len(seen):
                    totals[name] += np.einsum("i,ij->j", asked.stale[here[seen]], rows)
        if self.states is not None and lane.states is not None:
            self.states.write(lane.clients, lane.states)
        if task.remember and self.memory is not None:
            self.memory.write(lane.clients, lane.deltas)
        if self._sending is not None:
            for name, kept in self._sending.notes.items():
                self.memories[name].write(lane.clients, kept)
            self._sending.notes = {}
            if WRITTEN in self.memories:
                self.memories[WRITTEN].write(lane.clients, np.full((len(lane.clients), 1), task.round, np.float32))
        if TAKEN in self.memories:
            made[TAKEN] = (self._taken(lane.clients) + 1).astype(np.float32)[:, None]
        for name in (*self.halves.names, *(name for name in (BUFFERS, TAKEN) if name in self.memories)):
            self.memories[name].write(lane.clients, made[name])

    def _sent(self, task: Task, lane: LaneResult) -> LaneResult:
        """Return a lane with its deltas as the server reads them; in a silent round nothing travels."""
        if self._sending is None or task.order.silent:
            return lane
        if lane.buffers is not None and any(asked.of == BUFFERS for asked in _linear(task)):
            self._sending.sent_whole(*lane.buffers.shape)
        return replace(lane, deltas=self._sending.send(DELTA, lane.clients, lane.deltas))

    def _vectors_sent(self, task: Task, clients: Ids, made: dict[str, Rows]) -> dict[str, Rows]:
        """Return the vectors of the halves, those that travel as the server reads them."""
        if self._sending is None or task.order.silent:
            return made
        asked = {one.of for one in _linear(task)}
        return {name: self._sending.send(name, clients, rows) if name in asked else rows for name, rows in made.items()}

    def _old(self, task: Task, clients: Ids) -> dict[str, tuple[Ids, Rows]]:
        """Return the memories that sums over the cohort read, by name: places (into `clients`) and rows."""
        wanted = {DELTA} if any(isinstance(one, Dot) and one.reads for one in task.sums.values()) else set()
        wanted |= {
            one.of
            for one in task.sums.values()
            if isinstance(one, LinearSum) and one.stale is not None and one.over == "cohort"
        }
        return {name: self.halves.read(name, clients) for name in wanted if name in self.memories}

    def _multiply(self, total: Vector, asked: Dot, places: Ids, deltas: Rows, old: tuple[Ids, Rows] | None) -> None:
        """Add weights_i <one_i, other_i> client by client, so that lanes do not matter."""
        seen, rows = old if asked.reads and old is not None else (np.arange(0 if asked.reads else len(places)), deltas)
        one, other = (rows if word == "h" else deltas[seen] for word in (asked.one, asked.other))
        products = np.einsum("ij,ij->i", one, other, dtype=np.float64)
        for weight, product in zip(asked.weights[places[seen]].tolist(), products.tolist(), strict=True):
            total[0] += weight * product

    def _add_absent(self, task: Task, totals: dict[str, Vector], delivered: Ids) -> None:
        """Add the memories of those who did not deliver to the sums over all memories, clients ascending."""
        if task.everyone is None:
            return
        absent = np.setdiff1d(task.everyone, delivered, assume_unique=True)
        for name, asked in task.sums.items():
            if isinstance(asked, Dot) or asked.over == "cohort" or asked.stale is None:
                continue
            stale = asked.stale[np.searchsorted(task.everyone, absent)]
            for first in range(0, len(absent), PROBE_ROWS):
                seen, rows = self.memories[asked.of].read(absent[first : first + PROBE_ROWS])
                if len(seen):
                    totals[name] += np.einsum("i,ij->j", stale[first + seen], rows)


def _linear(task: Task) -> list[LinearSum]:
    return [one for one in task.sums.values() if isinstance(one, LinearSum)]


@dataclass
class Turn:
    """What a node does in a round, between the task and the reply."""

    node: Node
    task: Task
    delivery: Delivery
    seconds: float

    @cached_property
    def asked(self) -> list[Lane]:
        """The lanes to train; none where more than the model goes into them, and `finish` trains them."""
        alone = self.delivery
        more = (alone.timeout_s, alone.buffers, alone.given, alone.foreign)
        if any(part is not None for part in more):
            return []
        return self.node.trainer.asked(self.task.params, alone.alive, self.task.round)

    def finish(self, lanes: Iterator[LaneResult] | None = None) -> Reply:
        """Return the reply, from lanes that were trained elsewhere, or that are trained now."""
        reply = self.node.finish(self.task, self.delivery, lanes)
        return replace(reply, seconds={**reply.seconds, "node": reply.seconds["node"] + self.seconds})
