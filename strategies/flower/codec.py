"""Tasks and replies as Flower records: raw bytes for ids and coefficients, so that float64 survives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ConfigRecord, RecordDict

from fedsim.core import Failure, LinearSum, Reply, Task
from fedsim.strategies.flower import arrays

MODEL = "model"
TASK = "task"
SUMS = "sums"
REPLY = "reply"
PARAMS = "params"
WORDS = "words"
RAW = "raw"


def encode_task(task: Task, model: Any) -> RecordDict:
    """Return the records of a task; `model` is the round's one `ArrayRecord`, shared by all nodes' messages."""
    words = {
        "round": task.round,
        "attempt": task.attempt,
        "remember": task.remember,
        "sums": [[name, asked.stale is not None, asked.stored] for name, asked in task.sums.items()],
    }
    columns: list[npt.NDArray[Any]] = [task.clients.astype(np.int64, copy=False)]
    for asked in task.sums.values():
        columns += [asked.fresh] if asked.stale is None else [asked.fresh, asked.stale]
    raw = b"".join(column.tobytes() for column in columns)
    return RecordDict({MODEL: model, TASK: ConfigRecord({WORDS: json.dumps(words), RAW: raw})})


def is_task(content: RecordDict) -> bool:
    """Return whether these records are one of our tasks (and not a stock Flower instruction)."""
    return TASK in content


def clients(content: RecordDict) -> npt.NDArray[np.int64]:
    """Return the clients of a task, ascending."""
    first: npt.NDArray[np.int64] = _opened(content)[1][0].view(np.int64)
    return first


def strike(content: RecordDict, struck: Mapping[int, tuple[str, str]]) -> None:
    """Write into a task which of its clients must not be trained again: client -> kind and text of its failure."""
    words, columns = _opened(content)
    mine = [[client, *struck[client]] for client in clients(content).tolist() if client in struck]
    content[TASK] = ConfigRecord({WORDS: json.dumps({**words, "struck": mine}), RAW: columns.tobytes()})


def decode_task(content: RecordDict) -> Task:
    """Return the task in a message."""
    model: Any = content[MODEL]
    words, block = _opened(content)
    columns = iter(block)
    clients = next(columns).view(np.int64)
    return Task(
        round=words["round"],
        params=model[PARAMS].numpy(),
        clients=clients,
        sums={
            name: LinearSum(next(columns), next(columns) if stale else None, stored)
            for name, stale, stored in words["sums"]
        },
        remember=words["remember"],
        attempt=words["attempt"],
        struck=tuple(Failure(client, kind, text) for client, kind, text in words.get("struck", ())),
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


def decode_reply(content: RecordDict) -> Reply:
    """Return the reply in a message."""
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


def _opened(content: RecordDict) -> tuple[dict[str, Any], npt.NDArray[np.float64]]:
    """Return what is small in a task: its words, and its rows of numbers, the ids (as bits), then the coefficients.

    Two entries of a record, JSON and 8-byte numbers, as Flower checks the type of each.
    """
    small: Any = content[TASK]
    words: dict[str, Any] = json.loads(small[WORDS])
    rows = 1 + sum(1 + stale for _, stale, _ in words["sums"])
    return words, np.frombuffer(small[RAW], np.float64).reshape(rows, -1)


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
