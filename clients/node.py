"""A node hosts a fixed group of clients: it trains those who take part and replies with sums, never with models."""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from clients.kernels import LaneResult
from clients.memory import Memory
from clients.sketch import Sketch
from clients.training import Trainer
from fedsim.core import CapacityError, Failure, Reply, Task
from fedsim.core.contracts import Ids, Parameters, Vector

Faults = Callable[[int, Ids], Mapping[Any, npt.NDArray[np.bool_]]]
"""Injected events of a round: kind -> who is struck; crash and message_loss deliver nothing, nan a poisoned delta."""

PROBE_ROWS = 64
"""Memories read at a time by a probe."""


class Node:
    """One Flower node: a group of clients, their trainer and their memories.

    A client that raises or delivers something not finite is named in the reply and enters neither a sum nor a memory.
    """

    def __init__(
        self, index: int, trainer: Trainer, memory: Memory | None = None, faults: Faults | None = None
    ) -> None:
        self.index = index
        self.trainer = trainer
        self.memory = memory
        self.faults = faults

    def train(self, task: Task) -> Reply:
        """Train the task's clients and return the sums it asks for, over the clients that delivered."""
        began = perf_counter()
        failures: list[Failure] = []
        clients, poisoned = self._strike(task, failures)
        if self.memory is not None:
            self.memory.open(task.round)
        totals = {name: np.zeros(len(task.params)) for name in task.sums}
        statistics: dict[str, float] = defaultdict(float)
        delivered: list[Ids] = []
        train_s = 0.0
        lanes = self._lanes(task.params, clients, task.round, failures)
        while True:
            trained = perf_counter()
            lane = next(lanes, None)
            train_s += perf_counter() - trained
            if lane is None:
                break
            good = self._gate(lane, poisoned, task, failures, statistics)
            if len(good.clients):
                delivered.append(good.clients)
                self._add(task, good, totals)
        return Reply(
            node=self.index,
            round=task.round,
            clients=np.concatenate(delivered) if delivered else np.zeros(0, np.int64),
            sums=totals,
            statistics=dict(statistics),
            failures=tuple(sorted(failures, key=lambda failure: failure.client)),
            seconds={"train": train_s, "node": perf_counter() - began},
        )

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

    def _strike(self, task: Task, failures: list[Failure]) -> tuple[Ids, Ids]:
        """Take out those whom an injected fault strikes before they deliver; return the rest and the poisoned."""
        if self.faults is None or len(task.clients) == 0:
            return task.clients, np.zeros(0, np.int64)
        struck = self.faults(task.round, task.clients)
        alive = np.ones(len(task.clients), bool)
        for kind in ("crash", "message_loss"):
            lost = struck[kind] & alive
            failures.extend(Failure(int(c), kind, f"injected {kind}") for c in task.clients[lost])
            alive &= ~lost
        return task.clients[alive], task.clients[alive & struck["nan"]]

    def _lanes(self, params: Parameters, clients: Ids, round: int, failures: list[Failure]) -> Iterator[LaneResult]:
        """Train lane by lane; when a lane raises, its clients go one by one, so that the culprit is named."""
        pending = [clients]
        while pending:
            group = pending.pop(0)
            done = 0
            try:
                for lane in self.trainer.lanes(params, group, round):
                    yield lane
                    done += len(lane.clients)
            except CapacityError:
                raise
            except Exception as error:
                rest = group[done:]
                if len(rest) == 1:
                    failures.append(Failure(int(rest[0]), "raised", _told(error)))
                else:
                    pending = [*np.split(rest, len(rest)), *pending]

    def _gate(
        self,
        lane: LaneResult,
        poisoned: Ids,
        task: Task,
        failures: list[Failure],
        statistics: dict[str, float],
    ) -> LaneResult:
        """Let through only finite deltas of the right length, and count what came through."""
        deltas = lane.deltas
        if deltas.shape != (len(lane.clients), len(task.params)):
            text = f"delta of shape {deltas.shape[1:]}, expected ({len(task.params)},)"
            failures.extend(Failure(int(c), "shape", text) for c in lane.clients)
            return lane.at(np.zeros(0, np.int64))
        if len(poisoned):
            deltas[np.isin(lane.clients, poisoned)] = np.nan
        squares = np.einsum("ij,ij->i", deltas, deltas, dtype=np.float64)
        finite = np.isfinite(squares)
        if not finite.all():
            for place in np.flatnonzero(~finite):
                failures.append(Failure(int(lane.clients[place]), "non-finite", self._where(deltas[place])))
            kept = np.flatnonzero(finite)
            lane, squares = lane.at(kept), squares[kept]
        statistics["clients"] += len(lane.clients)
        statistics["examples"] += float(lane.examples.sum())
        statistics["steps"] += float(lane.steps.sum())
        statistics["loss"] += float(lane.losses.sum())
        statistics["delta_square"] += float(squares.sum())
        return lane

    def _where(self, delta: npt.NDArray[np.float32]) -> str:
        """Say which tensor of a delta is not finite, where first, and how many entries."""
        layout = self.trainer.layout
        bad = np.flatnonzero(~np.isfinite(delta))
        first = int(bad[0])
        tensor = int(np.searchsorted(layout.offsets, first, side="right")) - 1
        inside = first - layout.offsets[tensor]
        return f"{len(bad)} of {len(delta)} entries not finite, the first in {layout.names[tensor]} at {inside}"

    def _add(self, task: Task, lane: LaneResult, totals: dict[str, Vector]) -> None:
        """Add a lane to every sum, clients ascending, in float64; then note the deltas as memories."""
        places = np.searchsorted(task.clients, lane.clients)
        reads = self.memory is not None and any(asked.stale is not None for asked in task.sums.values())
        seen, old = self.memory.read(lane.clients) if reads and self.memory else (np.zeros(0, np.int64), None)
        for name, asked in task.sums.items():
            fresh = self.memory.stored(lane.deltas) if asked.stored and self.memory else lane.deltas
            totals[name] += np.einsum("i,ij->j", asked.fresh[places], fresh)
            if asked.stale is not None and old is not None and len(seen):
                totals[name] += np.einsum("i,ij->j", asked.stale[places[seen]], old)
        if task.remember and self.memory is not None:
            self.memory.write(lane.clients, lane.deltas)


def _told(error: Exception) -> str:
    """Return the traceback of a client's error, which names the user's own file and line."""
    return "".join(traceback.format_exception(error)).strip()
