"""Small things as Flower records: numbers and words as JSON, short arrays as raw bytes, so that float64 survives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ConfigRecord, RecordDict

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
