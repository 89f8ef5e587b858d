"""Training that may fail, client by client: who delivers, lane by lane; who does not, and why."""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import accumulate
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.clients.deadline import ClientTimeoutError, deadline
from fedsim.clients.foreign.kernel import Carried
from fedsim.clients.kernels import LaneResult
from fedsim.clients.training import Trainer
from fedsim.core import CapacityError, Failure
from fedsim.core.client_half import Given
from fedsim.core.contracts import Ids, Parameters
from fedsim.core.foreign.failures import ForeignError, place_of_error
from fedsim.core.foreign.failures import told as one_line

Faults = Callable[[int, Ids], Mapping[Any, npt.NDArray[np.bool_]]]
"""Injected events of a round: kind -> who is struck; crash and message_loss deliver nothing, nan a poisoned delta."""


TOLD, TELLING = "told.", "telling."
"""Statistics of what clients of foreign work tell: the sum over those who do, and how many these are."""


@dataclass(frozen=True)
class Delivered:
    """What a round of training came to beside its lanes: who failed, sums over those who did not, and the time."""

    failures: tuple[Failure, ...]
    statistics: dict[str, float]
    train_s: float


def _nobody() -> Ids:
    return np.zeros(0, np.int64)


@dataclass
class Delivery:
    """One round of training for some clients.

    A client that raises, takes longer than `timeout_s` or delivers something not finite is named among the failures
    and comes in no lane; those `struck` are there from the start and are not trained. `given` tells what a lane's
    clients train with beside the model.
    """

    trainer: Trainer
    faults: Faults | None
    params: Parameters
    clients: Ids
    round: int
    kept: npt.NDArray[np.float32] | None = None
    timeout_s: float | None = field(default=None, kw_only=True)
    struck: Sequence[Failure] = field(default=(), kw_only=True)
    foreign: Carried | None = field(default=None, kw_only=True)
    given: Callable[[Ids], Given] | None = field(default=None, kw_only=True)
    buffers: npt.NDArray[np.float32] | None = field(default=None, kw_only=True)
    _alive: Ids | None = field(default=None, init=False)
    _poisoned: Ids = field(default_factory=_nobody, init=False)
    _failures: list[Failure] = field(default_factory=list, init=False)
    _statistics: dict[str, float] = field(default_factory=lambda: defaultdict(float), init=False)

    @property
    def alive(self) -> Ids:
        """The clients that are trained: those whom nothing strikes before they deliver."""
        if self._alive is None:
            self._failures += self.struck
            gone = [failure.client for failure in self.struck]
            self._alive = np.setdiff1d(self.clients, gone) if gone else self.clients
            if self.faults is not None and len(self._alive):
                self._alive, self._poisoned = self._strike(self.faults, self._alive)
        return self._alive

    def run(self, take: Callable[[LaneResult], None], lanes: Iterator[LaneResult] | None = None) -> Delivered:
        """Train; hand on every lane that comes through as it comes, clients ascending.

        `lanes` are those of `alive`, where they are trained together with others.
        """
        trained, train_s = self._trained(self.alive, lanes), 0.0
        while True:
            began = perf_counter()
            lane = next(trained, None)
            train_s += perf_counter() - began
            if lane is None:
                break
            good = self._gate(lane, self._poisoned)
            if len(good.clients):
                take(good)
        self._failures.sort(key=lambda failure: failure.client)
        return Delivered(tuple(self._failures), dict(self._statistics), train_s)

    def _strike(self, faults: Faults, clients: Ids) -> tuple[Ids, Ids]:
        """Take out those whom an injected fault strikes before they deliver; return the rest and the poisoned."""
        struck = faults(self.round, clients)
        alive = np.ones(len(clients), bool)
        for kind in ("crash", "message_loss"):
            lost = struck[kind] & alive
            self._failures.extend(Failure(int(c), kind, f"injected {kind}") for c in clients[lost])
            alive &= ~lost
        return clients[alive], clients[alive & struck["nan"]]

    def _trained(self, clients: Ids, ready: Iterator[LaneResult] | None) -> Iterator[LaneResult]:
        """Train lane by lane. When one raises or takes too long, its clients are tried one by one, so that the culprit
        is named; then the others train on as if it had never been invited.
        """  # noqa: D205
        pending = [clients]
        while pending:
            group = pending.pop(0)
            done = 0
            try:
                if ready is not None:
                    self.trainer.supply(ready)
                    ready = None
                lanes = self._lanes_of(group)
                while True:
                    with nullcontext() if self.timeout_s is None else deadline(self._limit(len(group) - done)):
                        lane = next(lanes, None)
                    if lane is None:
                        break
                    yield lane
                    done += len(lane.clients)
            except CapacityError:
                raise
            except Exception as error:
                rest = group[done:]
                if self.foreign is not None:  # its work trains one by one: the first of those left is to blame
                    self._failures.append(_failure(int(rest[0]), error))
                    pending = [rest[1:], *pending]
                    continue
                if len(rest) == 1:
                    self._failures.append(_failure(int(rest[0]), error))
                    continue
                sound = [client for client in rest if self._trains(client)]
                again = np.array(sound, np.int64)
                pending = [*([again] if len(sound) < len(rest) else np.split(rest, len(rest))), *pending]

    def _limit(self, left: int) -> float:
        """Return how long the next lane may take."""
        assert self.timeout_s is not None, "asked only where there is a limit for a client"
        return self.timeout_s * max(1, min(left, self.trainer.group))

    def _trains(self, client: int) -> bool:
        """Train one client for nothing; return whether it can, and note the failure when it cannot."""
        try:
            with deadline(self.timeout_s):
                for _ in self._lanes_of(np.array([client], np.int64)):
                    continue
        except CapacityError:
            raise
        except Exception as error:
            self._failures.append(_failure(client, error))
            return False
        return True

    def _lanes_of(self, group: Ids) -> Iterator[LaneResult]:
        """Train a group from the common start, or from its clients' own starts, optimisers and buffers as they were."""
        beside: dict[str, Any] = {"given": self.given, "foreign": self.foreign}
        beside = {name: one for name, one in beside.items() if one is not None}
        if self.params.ndim == 1 and self.kept is None and self.buffers is None:
            return self.trainer.lanes(self.params, group, self.round, **beside)
        places = np.searchsorted(self.clients, group)
        if self.buffers is not None:
            beside["buffers"] = self.buffers[places]
        starts = self.params if self.params.ndim == 1 else self.params[places]
        kept = None if self.kept is None else self.kept[places]
        return self.trainer.lanes(starts, group, self.round, kept, **beside)

    def _gate(self, lane: LaneResult, poisoned: Ids) -> LaneResult:
        """Let through only finite deltas of the right length, and count what came through."""
        deltas, size = lane.deltas, self.trainer.layout.size
        if deltas.shape != (len(lane.clients), size):
            text = f"delta of shape {deltas.shape[1:]}, expected ({size},)"
            self._failures.extend(Failure(int(c), "shape", text) for c in lane.clients)
            return lane.at(np.zeros(0, np.int64))
        if len(poisoned):
            deltas[np.isin(lane.clients, poisoned)] = np.nan
        squares = np.einsum("ij,ij->i", deltas, deltas, dtype=np.float64)
        finite = np.isfinite(squares)
        if lane.buffers is not None:
            finite &= np.isfinite(lane.buffers).all(axis=1)
        if not finite.all():
            for place in np.flatnonzero(~finite):
                moved = deltas[place] if lane.buffers is None else np.concatenate([deltas[place], lane.buffers[place]])
                self._failures.append(Failure(int(lane.clients[place]), "non-finite", self._where(moved)))
            kept = np.flatnonzero(finite)
            lane, squares = lane.at(kept), squares[kept]
        statistics = self._statistics
        statistics["clients"] += len(lane.clients)
        statistics["examples"] += float(lane.examples.sum())
        statistics["steps"] += float(lane.steps.sum())
        statistics["loss"] += float(lane.losses.sum())
        statistics["delta_square"] += float(squares.sum())
        for told in lane.metrics or ():
            for name, value in told.items():
                statistics[f"{TOLD}{name}"] += value
                statistics[f"{TELLING}{name}"] += 1.0
        return lane

    def _where(self, delta: npt.NDArray[np.float32]) -> str:
        """Say which tensor of a delta is not finite, where first, and how many entries."""
        layout = self.trainer.layout
        names, offsets = layout.names + layout.buffers.names, (0, *accumulate(layout.sizes + layout.buffers.sizes))
        bad = np.flatnonzero(~np.isfinite(delta))
        first = int(bad[0])
        tensor = int(np.searchsorted(offsets, first, side="right")) - 1
        inside = first - offsets[tensor]
        return f"{len(bad)} of {len(delta)} entries not finite, the first in {names[tensor]} at {inside}"


def _failure(client: int, error: Exception) -> Failure:
    """Return the failure of a client that raised: in one line with the user's own file and line, then the traceback."""
    if isinstance(error, ClientTimeoutError):
        return Failure(int(client), "timeout", str(error))
    trace = "".join(traceback.format_exception(error)).strip()
    if isinstance(error, ForeignError):
        return Failure(int(client), "raised", f"{error}\n{error.details or trace}")
    return Failure(int(client), "raised", f"{one_line(error)}\n{trace}" if place_of_error(error) else trace)
