"""Tasks and replies as Flower records: raw bytes for ids and coefficients, so that float64 survives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from fedsim.core import Failure, Reply, Task
from fedsim.core.client_half import NOTHING, Order
from fedsim.core.sums import Asked, Dot, LinearSum
from fedsim.strategies.flower import arrays

MODEL = "model"
TASK = "task"
SUMS = "sums"
REPLY = "reply"
PARAMS = "params"
SHARED = "shared:"
WORDS = "words"
RAW = "raw"


def model(given: ArrayRecord, order: Order) -> ArrayRecord:
    """Return the round's one record of large arrays: the parameters, and the vectors that an order shares."""
    if not order.shared:
        return given
    shared = {SHARED + name: one.astype(np.float32, copy=False) for name, one in order.shared.items()}
    return arrays.record(**{PARAMS: given[PARAMS].numpy(), **shared})


def encode_task(task: Task, model: Any) -> RecordDict:
    """Return the records of a task; `model` is the round's one `ArrayRecord`, shared by all nodes' messages."""
    words: dict[str, Any] = {
        "round": task.round,
        "attempt": task.attempt,
        "remember": task.remember,
        "sums": [_words(name, asked) for name, asked in task.sums.items()],
    }
    columns: list[npt.NDArray[Any]] = [task.clients.astype(np.int64, copy=False)]
    for asked in task.sums.values():
        if isinstance(asked, Dot):
            columns += [asked.weights]
        else:
            columns += [asked.fresh] if asked.stale is None else [asked.fresh, asked.stale]
    if not task.order.empty:
        order = task.order
        words["order"] = [list(order.numbers), order.pull, order.rate, order.silent]
        columns += task.order.numbers.values()
    if task.everyone is not None:
        columns += [task.everyone.astype(np.int64, copy=False)]
        words["everyone"] = True
    words["lengths"] = [len(column) for column in columns]
    raw = b"".join(column.tobytes() for column in columns)
    return RecordDict({MODEL: model, TASK: ConfigRecord({WORDS: json.dumps(words), RAW: raw})})


def _words(name: str, asked: Asked) -> list[Any]:
    if isinstance(asked, Dot):
        return [name, asked.one, asked.other]
    return [name, asked.stale is not None, asked.stored, asked.of, asked.over]


def _asked(words: list[Any], columns: Iterator[npt.NDArray[np.float64]]) -> Asked:
    if len(words) == 3:
        return Dot(next(columns), *words[1:])
    _, stale, stored, of, over = words
    return LinearSum(next(columns), next(columns) if stale else None, stored, of, over)


class CarriedTask(RecordDict):
    """A task that stays in its process, as it is: the same numbers as through bytes."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.__dict__["task"] = task


def is_task(content: RecordDict) -> bool:
    """Return whether these records are one of our tasks (and not a stock Flower instruction)."""
    return isinstance(content, CarriedTask) or TASK in content


def clients(content: RecordDict) -> npt.NDArray[np.int64]:
    """Return the clients of a task, ascending."""
    first: npt.NDArray[np.int64] = _opened(content)[1][0].view(np.int64)
    return first


def strike(content: RecordDict, struck: Mapping[int, tuple[str, str]]) -> None:
    """Write into a task which of its clients must not be trained again: client -> kind and text of its failure."""
    small: Any = content[TASK]
    mine = [[client, *struck[client]] for client in clients(content).tolist() if client in struck]
    words = {**json.loads(small[WORDS]), "struck": mine}
    content[TASK] = ConfigRecord({WORDS: json.dumps(words), RAW: small[RAW]})


def decode_task(content: RecordDict) -> Task:
    """Return the task in a message."""
    if isinstance(content, CarriedTask):
        task: Task = content.__dict__["task"]
        return task
    model: Any = content[MODEL]
    words, block = _opened(content)
    columns = iter(block)
    clients = next(columns).view(np.int64)
    sums = {asked[0]: _asked(asked, columns) for asked in words["sums"]}
    order = NOTHING
    if "order" in words:
        shared = {name.removeprefix(SHARED): each.numpy() for name, each in model.items() if name != PARAMS}
        numbers, *others = words["order"]
        order = Order(shared, {name: next(columns) for name in numbers}, *others)
    return Task(
        round=words["round"],
        params=model[PARAMS].numpy(),
        clients=clients,
        sums=sums,
        remember=words["remember"],
        attempt=words["attempt"],
        struck=tuple(Failure(client, kind, text) for client, kind, text in words.get("struck", ())),
        order=order,
        everyone=next(columns).view(np.int64) if "everyone" in words else None,
    )


def encode_reply(reply: Reply) -> RecordDict:
    """Return the records of a reply."""
    words = {
        "node": reply.node,
        "round": reply.round,
        "statistics": dict(reply.statistics),
        "seconds": dict(reply.seconds),
        "failures": [[f.client, f.kind, f.text] for f in reply.failures],
    }
    raw = reply.clients.astype(np.int64, copy=False).tobytes()
    return RecordDict({SUMS: arrays.record(**reply.sums), REPLY: ConfigRecord({WORDS: json.dumps(words), RAW: raw})})


class Carried(RecordDict):
    """A reply that stays in its process, as it is: the same numbers as through bytes."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.__dict__["reply"] = reply


def decode_reply(content: RecordDict) -> Reply:
    """Return the reply in a message."""
    if isinstance(content, Carried):
        reply: Reply = content.__dict__["reply"]
        return reply
    small: Any = content[REPLY]
    sums: Any = content[SUMS]
    words = json.loads(small[WORDS])
    return Reply(
        node=words["node"],
        round=words["round"],
        clients=np.frombuffer(small[RAW], np.int64),
        sums={name: record.numpy() for name, record in sums.items()},
        statistics=words["statistics"],
        failures=tuple(Failure(c, kind, text) for c, kind, text in words["failures"]),
        seconds=words["seconds"],
    )


def _opened(content: RecordDict) -> tuple[dict[str, Any], list[npt.NDArray[np.float64]]]:
    """Return what is small in a task: its words, and its columns of numbers, the ids (as bits), then coefficients.

    Two entries of a record, JSON and 8-byte numbers, as Flower checks the type of each.
    """
    small: Any = content[TASK]
    words: dict[str, Any] = json.loads(small[WORDS])
    block = np.frombuffer(small[RAW], np.float64)
    ends = [0, *accumulate(words["lengths"])]
    return words, [block[first:end] for first, end in pairwise(ends)]


RECORD = "peer"


def pack(action: str, told: Mapping[str, Any], /, **arrays: npt.NDArray[Any]) -> RecordDict:
    """Return a record that says what to do (or what was done), with numbers and one-dimensional arrays.

    >>> unpack(pack("merge", {"round": 3}, clients=np.array([1, 2])))
    ('merge', {'round': 3}, {'clients': array([1, 2])})
    """
    config: dict[str, Any] = {"action": action, "told": json.dumps(told)}
    for name, values in arrays.items():
        config[f"{values.dtype.str}|{name}"] = values.tobytes()
    return RecordDict({RECORD: ConfigRecord(config)})


def unpack(content: RecordDict) -> tuple[str, dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the action, what was told, and the arrays."""
    config = content.config_records[RECORD]
    arrays = {}
    for key, value in config.items():
        dtype, bar, name = key.rpartition("|")
        if bar:
            assert isinstance(value, bytes)
            arrays[name] = np.frombuffer(value, np.dtype(dtype.removeprefix("|")) if dtype != "|b1" else np.bool_)
    return str(config["action"]), json.loads(str(config["told"])), arrays


def num_bytes(content: RecordDict) -> int:
    """Return the bytes of what a record holds."""
    return sum(
        len(value) if isinstance(value, bytes | str) else 8
        for record in content.config_records.values()
        for value in record.values()
    )
