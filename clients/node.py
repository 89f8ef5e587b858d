"""A node hosts a fixed group of clients: it trains those who take part and replies with sums, never with models."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from fedsim.clients.delivery import Delivery, Faults
from fedsim.clients.foreign.states import States
from fedsim.clients.kernels import LaneResult
from fedsim.clients.memory import Memory, Rows
from fedsim.clients.sketch import Sketch
from fedsim.clients.training import Trainer
from fedsim.core import Reply, Task
from fedsim.core.contracts import Ids, Parameters, Vector
from fedsim.core.messages import BUFFERS

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
        states: States | None = None,
    ) -> None:
        self.index = index
        self.trainer = trainer
        self.memory = memory
        self.faults = faults
        self.timeout_s = timeout_s
        self.states = states
        held = trainer.layout.buffers
        self.buffers = Memory(held.size) if held.local and held.size else None
        """What each client keeps for itself of the module, where buffers are local."""

    def train(self, task: Task) -> Reply:
        """Train the task's clients and return the sums it asks for, over the clients that delivered."""
        began = perf_counter()
        if self.memory is not None:
            self.memory.open(task.round)
        if self.buffers is not None:
            self.buffers.open(task.round)
        held = self.trainer.layout.buffers
        totals = {name: np.zeros(held.size if name == BUFFERS else self.trainer.layout.size) for name in task.sums}
        delivered: list[Ids] = []
        done = Delivery(
            self.trainer,
            self.faults,
            task.params,
            task.clients,
            task.round,
            timeout_s=self.timeout_s,
            buffers=self._own(task.clients),
            struck=task.struck,
            states=None if self.states is None else self.states.open(task.round),
        ).run(partial(self._add, task, totals, delivered))
        return Reply(
            node=self.index,
            round=task.round,
            clients=np.concatenate(delivered) if delivered else np.zeros(0, np.int64),
            sums=totals,
            statistics=done.statistics,
            failures=done.failures,
            seconds={"train": done.train_s, "node": perf_counter() - began},
        )

    def probe(self, params: Parameters, clients: Ids, round: int, sketch: Sketch) -> tuple[Vector, Vector]:
        """Return what each client would send in `round`, and its memory, as sketched rows; nothing is applied.

        Shapes (len(clients), width) both; a client without a memory has a row of zeros.
        """
        if self.memory is not None:
            self.memory.open(round)
        fresh, stale = np.zeros((len(clients), sketch.width)), np.zeros((len(clients), sketch.width))
        first = 0
        if self.buffers is not None:
            self.buffers.open(round)
        held = None if self.states is None else self.states.open(round)
        for lane in self.trainer.lanes(params, clients, round, buffers=self._own(clients), states=held):
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
        stem = f"node-{self.index}"
        parts = ((self.memory, stem), (self.buffers, f"{stem}.buffers"), (self.states, stem))
        return [(part, stem) for part, stem in parts if part is not None]

    def _own(self, clients: Ids) -> Rows | None:
        """Return the buffers (C, b) that clients have kept, or have from the start; None where they keep none."""
        if self.buffers is None:
            return None
        rows = np.tile(self.trainer.initial()[self.trainer.layout.size :], (len(clients), 1))
        places, known = self.buffers.read(clients)
        rows[places] = known
        return rows

    def _add(self, task: Task, totals: dict[str, Vector], delivered: list[Ids], lane: LaneResult) -> None:
        """Add a lane to every sum, clients ascending, in float64; then note the deltas as memories."""
        delivered.append(lane.clients)
        places = np.searchsorted(task.clients, lane.clients)
        seen, old = np.zeros(0, np.int64), None
        if self.memory is not None and any(asked.stale is not None for asked in task.sums.values()):
            seen, old = self.memory.read(lane.clients)
        for name, asked in task.sums.items():
            if name == BUFFERS and lane.buffers is not None:
                totals[name] += np.einsum("i,ij->j", asked.fresh[places], lane.buffers)
                continue
            fresh = self.memory.stored(lane.deltas) if asked.stored and self.memory is not None else lane.deltas
            totals[name] += np.einsum("i,ij->j", asked.fresh[places], fresh)
            if asked.stale is not None and old is not None and len(seen):
                totals[name] += np.einsum("i,ij->j", asked.stale[places[seen]], old)
        if self.states is not None and lane.states is not None:
            self.states.write(lane.clients, lane.states)
        if task.remember and self.memory is not None:
            self.memory.write(lane.clients, lane.deltas)
        if self.buffers is not None and lane.buffers is not None:
            self.buffers.write(lane.clients, lane.buffers)
