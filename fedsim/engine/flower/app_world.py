"""What a Flower app meets of a world in which nodes come and go, and what is heard of its rounds.

A round of the world is a round of the ServerApp: the one that Flower's own loop has its strategy configure; in a loop
of its own each batch of training messages is one. A strategy that waits for more nodes than there are lets time pass:
every further look while it configures a round is a round of the world later, and later rounds follow on that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from unittest.mock import patch

import numpy as np
from flwr.app import ArrayRecord, Message, MessageType
from flwr.serverapp.strategy import Strategy

from fedsim.core import Process
from fedsim.core.contracts import Ids

LOOKS = 2
"""So often a strategy of Flower looks who is there while it configures a round; more is waiting."""
CONFIGURE = ("configure_train", "configure_evaluate")
AGGREGATE = {"aggregate_train": "client", "aggregate_evaluate": "evaluate"}
"""What a strategy makes of replies, and what its numbers are about."""


@dataclass
class Heard:
    """One round of an app: who was there and who was asked, how many answered or failed, and numbers by what they are.

    Round 0 is before the first. `told` are the numbers by name that the strategy made of the training, of the clients'
    evaluation, and of its own.
    """

    round: int
    present: Ids
    asked: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)
    told: dict[str, dict[str, float]] = field(default_factory=dict)


class World:
    """Who is there, in which round; and what was heard of each. `over` is told of a round when the next one begins."""

    def __init__(self, process: Process, over: Callable[[Heard], None] | None = None) -> None:
        self.process = process
        self.params: dict[str, Any] = {}
        self._over = over
        self._late = 0
        self._batches = 0
        self._round: int | None = None
        self._looks: int | None = None
        self._now: Heard | None = None
        self._lock = threading.RLock()

    @contextmanager
    def turn(self, round: int) -> Iterator[None]:
        """A strategy configures a round in this block; it is the ServerApp's round until the next one."""
        with self._lock:
            self._round, self._looks = round, 0
        try:
            yield
        finally:
            self._looks = None

    def present(self, *, look: bool) -> Ids:
        """Return who is there now; `look` says that the ServerApp asks for it, perhaps waiting."""
        with self._lock:
            round = self._batches + 1 if self._round is None else self._round
            if look and self._looks is not None:
                self._late += self._looks >= LOOKS
                self._looks += 1
            there = self.process.cohort(round + self._late)
            if round and (self._now is None or self._now.round < round):
                self.close()
                self._now = Heard(round, there)
            elif self._now is not None and not self._now.asked:
                self._now.present = there
            return there

    def asked(self, message: Message, node: int) -> None:
        """Hear that a node is asked to train."""
        if message.metadata.message_type.startswith(MessageType.TRAIN) and self._now is not None:
            with self._lock:
                self._now.asked.add(node)

    def sent(self, messages: Iterable[Message]) -> None:
        """Hear that a batch was sent."""
        self._batches += any(message.metadata.message_type.startswith(MessageType.TRAIN) for message in messages)

    def brought(self, node: int, reply: Message) -> None:
        """Hear what a node brings."""
        with self._lock:
            if self._now is None or not reply.metadata.message_type.startswith(MessageType.TRAIN):
                return
            if reply.has_error():
                self._now.failed[node] = str(reply.error.reason)
            else:
                self._now.answered.add(node)

    def told(self, kind: str, numbers: Mapping[str, Any] | None, round: int) -> None:
        """Hear what the strategy makes of a round, under `client`, `evaluate` or `server`."""
        plain = {name: float(value) for name, value in (numbers or {}).items() if not isinstance(value, list)}
        with self._lock:
            if round == 0 and self._over is not None:
                self._over(Heard(0, np.zeros(0, np.int64), told={kind: plain}))
            elif self._now is not None and self._now.round == round:
                self._now.told.setdefault(kind, {}).update(plain)

    def close(self) -> None:
        """End the round that is under way."""
        with self._lock:
            if self._now is not None and self._over is not None:
                self._over(self._now)
            self._now = None

    @contextmanager
    def overhearing(self) -> Iterator[None]:
        """Hear, while the block runs, what a strategy returns that Flower's own loop drives."""
        world, start = self, Strategy.start

        @wraps(start)
        def starting(strategy: Strategy, grid: Any, initial_arrays: Any, *given: Any, **named: Any) -> Any:
            names = ("num_rounds", "timeout", "train_config", "evaluate_config", "evaluate_fn")
            options = {**dict(zip(names, given, strict=False)), **named}
            judge = options.get("evaluate_fn")
            if judge is not None:
                options["evaluate_fn"] = lambda round, arrays: world._judged(judge, round, arrays)
            for method in CONFIGURE:
                setattr(strategy, method, world._turning(getattr(strategy, method)))
            for method, kind in AGGREGATE.items():
                setattr(strategy, method, world._heard(getattr(strategy, method), kind))
            try:
                result = start(strategy, grid, initial_arrays, **options)
            finally:
                for method in (*CONFIGURE, *AGGREGATE):
                    vars(strategy).pop(method, None)
                world._round = None
            world._keep(result.arrays)
            return result

        with patch.object(Strategy, "start", starting):
            yield

    def _turning(self, configure: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(configure)
        def turning(server_round: int, *given: Any, **named: Any) -> Any:
            with self.turn(server_round):
                return list(configure(server_round, *given, **named))

        return turning

    def _heard(self, aggregate: Callable[..., Any], kind: str) -> Callable[..., Any]:
        @wraps(aggregate)
        def heard(server_round: int, replies: Any) -> Any:
            found = aggregate(server_round, replies)
            self.told(kind, found[1] if isinstance(found, tuple) else found, server_round)
            return found

        return heard

    def _judged(self, judge: Callable[..., Any], round: int, arrays: ArrayRecord) -> Any:
        found = judge(round, arrays)
        self.told("server", found, round)
        return found

    def _keep(self, arrays: ArrayRecord | None) -> None:
        self.params = {} if arrays is None else {name: np.array(array.numpy()) for name, array in arrays.items()}
