"""What clients do beside plain training, lane by lane: a node's side of the client halves of rule and correction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fedsim.clients.formats import Rows
from fedsim.clients.kernels import LaneResult
from fedsim.clients.memory import Memory
from fedsim.clients.training import Trainer
from fedsim.core import ClientHalf, Task
from fedsim.core.client_half import Before, Given, Trained
from fedsim.core.contracts import Ids


class Halves:
    """The client halves of one node, with the memories that are theirs."""

    def __init__(self, halves: Sequence[ClientHalf], trainer: Trainer, memories: Mapping[str, Memory]) -> None:
        self._halves, self._trainer, self._memories = halves, trainer, memories
        self._looks = any(half.gradients for half in halves)
        self._informed = any(half.informed for half in halves)
        self._kept: tuple[Ids, Before] | None = None
        self._shifts: tuple[Ids, Sequence[Rows | None]] | None = None
        self.names = tuple(name for half in halves for name in half.memories)
        assert len(set(self.names)) == len(self.names), f"one name, one memory: {self.names}"

    def given(self, task: Task) -> Callable[[Ids], Given] | None:
        """Return what tells a lane's clients what to train with beside the model; None when that is nothing."""
        self._kept = self._shifts = None
        if not self._halves and task.order.empty:
            return None

        def given(clients: Ids) -> Given:
            lane = self._before(task, clients)
            parts = [half.begin(lane) for half in self._halves]
            self._shifts = clients, [part.shift for part in parts]
            shifts = [part.shift for part in parts if part.shift is not None]
            starts = [part.start for part in parts if part.start is not None]
            assert len(starts) <= 1, "a client starts at one place"
            shift = None if not shifts else _float32(shifts[0] if len(shifts) == 1 else sum(shifts[1:], shifts[0]))
            start = _float32(starts[0]) if starts else None
            return Given(shift, start, task.order.pull, task.order.rate)

        return given

    def made(self, task: Task, lane: LaneResult) -> dict[str, Rows]:
        """Return what the clients of a lane remember, and other vectors of theirs, by name: (C, d) float32."""
        if not self._halves:
            return {}
        before = self._before(task, lane.clients)
        way = task.order.rate * self._trainer.way(task.round, lane.steps)
        shifts: Sequence[Rows | None] = [None] * len(self._halves)
        if self._shifts is not None and np.array_equal(self._shifts[0], lane.clients):
            shifts = self._shifts[1]
        fisher = self._trainer.fisher(task.params, lane.deltas, lane.clients) if self._informed else None
        found: dict[str, Rows] = {}
        for half, shift in zip(self._halves, shifts, strict=True):
            kept = half.remember(before, Trained(lane.deltas, lane.steps, way, shift, fisher))
            found |= {name: _float32(rows) for name, rows in kept.items()}
        missing = set(self.names) - set(found)
        assert not missing, f"a client half keeps {sorted(missing)} and says nothing of it after training"
        return found

    def read(self, name: str, clients: Ids) -> tuple[npt.NDArray[np.int64], Rows]:
        """Return a memory as `Memory.read` does: places (into `clients`) of those who have one, and their rows."""
        if self._kept is not None and name in self._kept[1].own and np.array_equal(self._kept[0], clients):
            return np.arange(len(clients)), self._kept[1].own[name]
        return self._memories[name].read(clients)

    def _before(self, task: Task, clients: Ids) -> Before:
        if self._kept is None or not np.array_equal(self._kept[0], clients):
            self._kept = clients, self._look(task, clients)
        return self._kept[1]

    def _look(self, task: Task, clients: Ids) -> Before:
        own, seen = {}, np.zeros(len(clients), bool)
        for name in self.names:
            places, rows = self._memories[name].read(clients)
            own[name], seen[places] = _spread(rows, places, len(clients)), True
        here = np.searchsorted(task.clients, clients)
        return Before(
            round=task.round,
            params=task.params[: self._trainer.layout.size],
            own=own,
            seen=seen,
            shared=task.order.shared,
            numbers={name: each[here] for name, each in task.order.numbers.items()},
            rate=task.order.rate * self._trainer.rate(task.round),
            gradient=self._trainer.gradient(task.params, clients) if self._looks else None,
        )


def _spread(rows: Rows, places: npt.NDArray[np.int64], count: int) -> Rows:
    """Return rows at their places among `count`, zeros elsewhere."""
    if len(places) == count:
        return rows
    found = np.zeros((count, rows.shape[1]), np.float32)
    found[places] = rows
    return found


def _float32(rows: Rows) -> Rows:
    return rows.astype(np.float32, copy=False)
