"""Events as JSON and back, without loss: what waits in a spool file, and what travels to a service.

JSON knows no infinity and no arrays: numbers that are not finite are written as "nan", "inf" and "-inf", arrays as
their dtype, shape and base64 bytes (little-endian).
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.metrics.events import Evaluated, Event, Notice, RolledBack, RoundDone, RunEnded, RunStarted

KINDS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (RunStarted, RoundDone, Evaluated, Notice, RolledBack, RunEnded)
}


def to_json(event: Event) -> str:
    """Write an event as one line of JSON.

    >>> to_json(RolledBack(run="a", round=3, wall_time=0.0))
    '{"event":"RolledBack","run":"a","round":3,"wall_time":0.0}'
    """
    content: dict[str, Any] = {"event": type(event).__name__}
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name == "vectors":
            value = {name: array_to_json(vector) for name, vector in value.items()}
        content[field.name] = plain(value)
    return json.dumps(content, allow_nan=False, separators=(",", ":"))


def from_json(text: str | bytes) -> Event:
    """Read an event back. Raises ValueError, saying what is wrong, for anything `to_json` did not write."""
    return from_plain(json.loads(text))


def from_plain(content: Any) -> Event:
    """Read an event from its decoded JSON object, which is used up. Raises ValueError like `from_json`."""
    kind = KINDS.get(str(content.pop("event", ""))) if isinstance(content, dict) else None
    if kind is None:
        raise ValueError(f"not an event; it needs event: {' | '.join(KINDS)}")
    try:
        if "vectors" in content:
            content["vectors"] = {name: array_from_json(item) for name, item in content["vectors"].items()}
        if "values" in content:
            content["values"] = {name: float(value) for name, value in content["values"].items()}
        return kind(**content)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error


def plain(value: Any) -> Any:
    """Turn nested mappings, sequences and numpy scalars into what strict JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def array_bytes(array: npt.NDArray[Any]) -> tuple[str, list[int], bytes]:
    """Take an array apart: dtype (little-endian), shape, bytes in C order."""
    array = np.asarray(array)
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return little.dtype.str, list(array.shape), little.tobytes()


def array_from_bytes(dtype: str, shape: list[int], content: bytes) -> npt.NDArray[Any]:
    """Put an array together again, as a fresh writable copy in native byte order."""
    array = np.frombuffer(content, dtype=np.dtype(dtype)).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="))


def array_to_json(array: npt.NDArray[Any]) -> dict[str, Any]:
    """Write an array as dtype, shape and base64."""
    dtype, shape, content = array_bytes(array)
    return {"dtype": dtype, "shape": shape, "data": base64.b64encode(content).decode("ascii")}


def array_from_json(item: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Read what `array_to_json` wrote."""
    return array_from_bytes(item["dtype"], item["shape"], base64.b64decode(item["data"], validate=True))
