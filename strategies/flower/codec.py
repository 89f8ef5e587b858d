"""Tasks and replies as Flower records: raw bytes for ids and coefficients, so that float64 survives."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ConfigRecord, RecordDict

from fedsim.core import Failure, LinearSum, Reply, Task
from strategies.flower import arrays

MODEL = "model"
TASK = "task"
SUMS = "sums"
REPLY = "reply"
PARAMS = "params"


def _raw(config: ConfigRecord, key: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    stored = config[key]
    assert isinstance(stored, bytes)
    return np.frombuffer(stored, dtype=dtype)


def encode_task(task: Task, model: Any) -> RecordDict:
    """Return the records of a task; `model` is the round's one `ArrayRecord`, shared by all nodes' messages."""
    config: dict[str, Any] = {
        "round": task.round,
        "attempt": task.attempt,
        "remember": task.remember,
        "clients": task.clients.astype(np.int64).tobytes(),
        "names": ",".join(task.sums),
        "stored": ",".join(name for name, asked in task.sums.items() if asked.stored),
    }
    for name, asked in task.sums.items():
        config[f"fresh.{name}"] = asked.fresh.tobytes()
        if asked.stale is not None:
            config[f"stale.{name}"] = asked.stale.tobytes()
    return RecordDict({MODEL: model, TASK: ConfigRecord(config)})


def is_task(content: RecordDict) -> bool:
    """Return whether these records are one of our tasks (and not a stock Flower instruction)."""
    return TASK in content.config_records


def decode_task(content: RecordDict) -> Task:
    """Return the task in a message."""
    config = content.config_records[TASK]
    stored = str(config["stored"]).split(",")
    sums = {
        name: LinearSum(
            _raw(config, f"fresh.{name}", np.float64),
            _raw(config, f"stale.{name}", np.float64) if f"stale.{name}" in config else None,
            name in stored,
        )
        for name in str(config["names"]).split(",")
        if name
    }
    params = content.array_records[MODEL][PARAMS].numpy()
    return Task(
        round=int(str(config["round"])),
        params=params,
        clients=_raw(config, "clients", np.int64),
        sums=sums,
        remember=bool(config["remember"]),
        attempt=int(str(config["attempt"])),
    )


def encode_reply(reply: Reply) -> RecordDict:
    """Return the records of a reply."""
    small = {
        "statistics": dict(reply.statistics),
        "seconds": dict(reply.seconds),
        "failures": [[f.client, f.kind, f.text] for f in reply.failures],
    }
    config = ConfigRecord(
        {
            "node": reply.node,
            "round": reply.round,
            "clients": reply.clients.astype(np.int64).tobytes(),
            "small": json.dumps(small),
        }
    )
    return RecordDict({SUMS: arrays.record(**reply.sums), REPLY: config})


def decode_reply(content: RecordDict) -> Reply:
    """Return the reply in a message."""
    config = content.config_records[REPLY]
    small = json.loads(str(config["small"]))
    return Reply(
        node=int(str(config["node"])),
        round=int(str(config["round"])),
        clients=_raw(config, "clients", np.int64),
        sums={name: array.numpy() for name, array in content.array_records[SUMS].items()},
        statistics=small["statistics"],
        failures=tuple(Failure(int(c), k, t) for c, k, t in small["failures"]),
        seconds=small["seconds"],
    )
