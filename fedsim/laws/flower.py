"""Laws of a Flower strategy, played on quadratics with Flower's own messages and no engine."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from flwr.supercore.task_identity import TaskIdentity

from fedsim.core.sums import Vector
from fedsim.laws.play import Verdict

Makes = Callable[[], Strategy]
CLIENTS, ROUNDS, NEAR = 8, 4, 1e-5
CENTERS = np.random.default_rng(2).normal(size=(CLIENTS, 5)).astype(np.float32)
SHAPES = {"a": (3,), "b": (2, 1)}


class _Here(Grid):
    """A grid that knows its clients and sends nothing."""

    def set_run(self, run: Any) -> None:
        """Do nothing: there is no run."""

    @property
    def run(self) -> Any:
        return None

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return range(1, CLIENTS + 1)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        raise NotImplementedError


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to itself what Flower logs."""
    logger, before = logging.getLogger("flwr"), logging.getLogger("flwr").level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _apart() -> Iterator[None]:
    """Give messages a sender, keep logs quiet, and put global generators back afterwards."""
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    identity = TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id  # the public ones raise when unset
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    try:
        with quiet():
            yield
    finally:
        TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = identity
        random.setstate(state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def _record(values: Vector) -> ArrayRecord:
    a, b = np.split(values.astype(np.float32), [3])
    return ArrayRecord({"a": Array(a), "b": Array(b.reshape(2, 1))})


def _flat(record: ArrayRecord) -> Vector:
    return np.concatenate([record[name].numpy().ravel() for name in SHAPES]).astype(np.float64)


def _replies(messages: Iterable[Message]) -> list[Message]:
    """Return what clients answer: a step of a third towards their centers, clipped by nobody."""
    found = []
    for message in sorted(messages, key=lambda one: one.metadata.dst_node_id):
        client = message.metadata.dst_node_id - 1
        (arrays,) = message.content.array_records.values()
        start = _flat(arrays)
        told = MetricRecord({"num-examples": client + 1, "train_loss": 1.0 + client})
        content = RecordDict({"arrays": _record(start + (CENTERS[client] - start) / 3), "metrics": told})
        found.append(Message(content, reply_to=message))
    return found


def _play(made: Makes, order: Callable[[list[Message]], list[Message]] = list, empty: int = 0) -> list[Any]:
    """Return the record after each round; None where there is none. In round `empty` nobody replies."""
    with _apart():
        strategy, params, found = made(), np.zeros(5), []
        for round in range(1, ROUNDS + 1):
            random.seed(round)
            np.random.seed(round)  # noqa: NPY002
            messages = list(strategy.configure_train(round, _record(params), ConfigRecord({"lr": 0.1}), _Here()))
            replies = [] if round == empty else order(_replies(messages))
            averaged, _ = strategy.aggregate_train(round, replies)
            found.append(averaged)
            params = params if averaged is None else _flat(averaged)
    return found


def _end(found: list[Any]) -> Vector:
    there = [one for one in found if one is not None]
    return _flat(there[-1]) if there else np.zeros(5)


def repeats(made: Makes) -> Verdict:
    """*repeatable*: made again, and given the same replies, it gives the same bits (global generators seeded)."""
    one, other = _end(_play(made)), _end(_play(made))
    same = one.tobytes() == other.tobytes()
    return Verdict("repeatable", same, f"two runs of {ROUNDS} rounds are {float(np.abs(one - other).max()):.1e} apart")


def keeps_shapes(made: Makes) -> Verdict:
    """*fixed keys*: what comes back has the names and shapes of what went in, and is finite."""
    for round, record in enumerate(_play(made), 1):
        if record is None:
            return Verdict("fixed keys", holds=False, seen=f"round {round}: nothing came back")
        got = {name: array.numpy() for name, array in record.items()}
        good = {name: a.shape for name, a in got.items()} == SHAPES and all(a.dtype.kind == "f" for a in got.values())
        if not good or not all(np.isfinite(a).all() for a in got.values()):
            told = {name: (str(a.dtype), a.shape) for name, a in got.items()}
            return Verdict("fixed keys", holds=False, seen=f"round {round}: {told}")
        kinds = ", ".join(sorted({str(a.dtype) for a in got.values()}))
    return Verdict("fixed keys", holds=True, seen=f"{len(SHAPES)} arrays, {kinds}, in {ROUNDS} rounds")


def order_of_replies(made: Makes) -> Verdict:
    """*order*: the order in which replies come changes nothing but rounding."""
    one, other = _end(_play(made)), _end(_play(made, order=lambda replies: replies[::-1]))
    off = float(np.abs(one - other).max())
    return Verdict("order", off < NEAR, f"with replies backwards the model is {off:.1e} elsewhere")


def writes_to_nothing(made: Makes) -> Verdict:
    """*pure*: the model and the replies that it is given are left as they were."""
    with _apart():
        strategy, model = made(), _record(np.zeros(5))
        replies = _replies(strategy.configure_train(1, model, ConfigRecord({"lr": 0.1}), _Here()))
        before = [_flat(one.content.array_records["arrays"]).tobytes() for one in replies]
        strategy.aggregate_train(1, replies)
    after = [one.content.array_records.get("arrays") for one in replies]
    changed = sum(now is None or _flat(now).tobytes() != was for now, was in zip(after, before, strict=True))
    same = not _flat(model).any()
    seen = f"{changed} of {len(replies)} replies written to; the model {'as it was' if same else 'written to'}"
    return Verdict("pure", same and not changed, seen)


def survives_an_empty_round(made: Makes) -> Verdict:
    """*empty rounds*: a round without replies is survived, and everything stays finite."""
    end = _end(_play(made, empty=2))
    return Verdict(
        "empty rounds", bool(np.isfinite(end).all()), f"nobody in round 2; ended at {np.round(end, 4).tolist()}"
    )


FLOWER_LAWS = (repeats, writes_to_nothing, keeps_shapes, order_of_replies, survives_an_empty_round)
"""Laws of a Flower strategy."""
