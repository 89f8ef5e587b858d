"""A node hosts a fixed group of clients: it trains those who take part and replies with sums, never with models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from fedsim.clients.delivery import Delivery, Faults
from fedsim.clients.kernels import LaneResult
from fedsim.clients.kernels.stream import Lane
from fedsim.clients.memory import Memory
from fedsim.clients.sketch import Sketch
from fedsim.clients.training import Trainer
from fedsim.core import Reply, Task
from fedsim.core.contracts import Ids, Parameters, Vector

PROBE_ROWS = 64
"""Memories read at a time by a probe."""


class Node:
    """One Flower node: a group of clients, their trainer and their memories.

    A client that raises or delivers something not finite is named in the reply and enters neither a sum nor a memory.
    """

    def __init__(
        self,
        index: int,
        trainer: Trainer,
        memory: Memory | None = None,
        faults: Faults | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self.index = index
        self.trainer = trainer
        self.memory = memory
        self.faults = faults
        self.timeout_s = timeout_s

    def train(self, task: Task) -> Reply:
        """Train the task's clients and return the sums it asks for, over the clients that delivered."""
        return self.begin(task).finish()

    def begin(self, task: Task) -> Turn:
        """Take up a task, whose clients may train together with those of other nodes."""
        began = perf_counter()
        if self.memory is not None:
            self.memory.open(task.round)
        delivery = Delivery(
            self.trainer,
            self.faults,
            task.params,
            task.clients,
            task.round,
            timeout_s=self.timeout_s,
            struck=task.struck,
        )
        return Turn(self, task, delivery, perf_counter() - began)

    def probe(self, params: Parameters, clients: Ids, round: int, sketch: Sketch) -> tuple[Vector, Vector]:
        """Return what each client would send in `round`, and its memory, as sketched rows; nothing is applied.

        Shapes (len(clients), width) both; a client without a memory has a row of zeros.
        """
        if self.memory is not None:
            self.memory.open(round)
        fresh, stale = np.zeros((len(clients), sketch.width)), np.zeros((len(clients), sketch.width))
        first = 0
        for lane in self.trainer.lanes(params, clients, round):
            fresh[first : first + len(lane.clients)] = sketch.apply(lane.deltas)
            first += len(lane.clients)
        for first in range(0, len(clients) if self.memory is not None else 0, PROBE_ROWS):
            assert self.memory is not None
            places, rows = self.memory.read(clients[first : first + PROBE_ROWS])
            stale[first + places] = sketch.apply(rows)
        return fresh, stale

    def audit(self, weights: Vector) -> Vector:
        """Return sum_i weights_i h_i over this node's memories, summed anew."""
        assert self.memory is not None, "an audit needs memories"
        return self.memory.weighted_sum(weights)

    def save(self, folder: Path, round: int) -> None:
        """Write this node's memories, as they were after `round`, into a checkpoint's folder."""
        if self.memory is not None:
            self.memory.settle(round)
            self.memory.save(folder, f"node-{self.index}")

    def restore(self, folder: Path | None, round: int) -> None:
        """Go back to what `save` wrote; without a folder, to the time before round 1."""
        if self.memory is not None and folder is not None:
            self.memory.load(folder, f"node-{self.index}", round)
        elif self.memory is not None:
            self.memory.clear()

    def add(self, task: Task, totals: dict[str, Vector], delivered: list[Ids], lane: LaneResult) -> None:
        """Add a lane to every sum, clients ascending, in float64; then note the deltas as memories."""
        delivered.append(lane.clients)
        places = np.searchsorted(task.clients, lane.clients)
        seen, old = np.zeros(0, np.int64), None
        if self.memory is not None and any(asked.stale is not None for asked in task.sums.values()):
            seen, old = self.memory.read(lane.clients)
        for name, asked in task.sums.items():
            fresh = self.memory.stored(lane.deltas) if asked.stored and self.memory is not None else lane.deltas
            totals[name] += np.einsum("i,ij->j", asked.fresh[places], fresh)
            if asked.stale is not None and old is not None and len(seen):
                totals[name] += np.einsum("i,ij->j", asked.stale[places[seen]], old)
        if task.remember and self.memory is not None:
            self.memory.write(lane.clients, lane.deltas)


@dataclass
class Turn:
    """What a node does in a round, from the task to the reply."""

    node: Node
    task: Task
    delivery: Delivery
    seconds: float

    def lanes(self) -> list[Lane]:
        """Return the lanes to train; none where each must be watched by itself, which `finish` then does."""
        if self.node.timeout_s is not None:
            return []
        return self.node.trainer.asked(self.task.params, self.delivery.alive, self.task.round)

    def finish(self, lanes: Iterator[LaneResult] | None = None) -> Reply:
        """Add up what the lanes bring, clients ascending, and return the reply; without lanes they are trained here."""
        began, task = perf_counter(), self.task
        totals = {name: np.zeros(len(task.params)) for name in task.sums}
        delivered: list[Ids] = []
        done = self.delivery.run(partial(self.node.add, task, totals, delivered), lanes)
        return Reply(
            node=self.node.index,
            round=task.round,
            clients=np.concatenate(delivered) if delivered else np.zeros(0, np.int64),
            sums=totals,
            statistics=done.statistics,
            failures=done.failures,
            seconds={"train": done.train_s, "node": self.seconds + perf_counter() - began},
        )
