"""What examples hold, as a hash: arrays, tensors, tables and datasets of any library, without importing one."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt


def is_frame(value: Any) -> bool:
    """Return whether a value is a pandas frame."""
    return _library(value) == "pandas" and hasattr(value, "columns")


def is_hub(value: Any) -> bool:
    """Return whether a value is a Dataset of Hugging Face's `datasets`."""
    return _library(value) == "datasets" and hasattr(value, "column_names") and hasattr(value, "with_format")


def is_array(value: Any) -> bool:
    """Return whether a value is a numpy array or a tensor."""
    return isinstance(value, np.ndarray) or (hasattr(value, "detach") and hasattr(value, "numpy"))


def is_items(value: Any) -> bool:
    """Return whether a value is a map-style dataset: a length, and an item at each place."""
    named = isinstance(value, type | str | bytes | list | tuple | Mapping)
    return not (named or is_array(value) or is_frame(value)) and all(
        hasattr(value, name) for name in ("__len__", "__getitem__")
    )


def is_dataset(value: Any) -> bool:
    """Return whether a value is a table or a dataset, of whatever library."""
    return is_frame(value) or is_hub(value) or is_items(value)


def as_array(value: Any) -> npt.NDArray[Any]:
    """Return a tensor, a picture, numbers or lists of them as an array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) in ("torch.bfloat16", "torch.float16") else value
        return np.asarray(value.numpy())
    return np.asarray(value)


def digest_of(target: Any) -> str:
    """Return a hash of what examples hold, empty for what holds none, or holds what has no bytes of its own."""
    if not (isinstance(target, Mapping | list | tuple) or is_dataset(target)) or not len(target):
        return ""
    known = is_items(target) and getattr(type(target), "__hash__", None) == object.__hash__
    if known and target in _known:
        return _known[target]
    found = sha256()
    digest = found.hexdigest()[:16] if _add(found, target) else ""
    if known:
        _known[target] = digest
    return digest


_known: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""Of datasets, whose items may take long to make."""


def _add(found: Any, value: Any) -> bool:
    """Add a value to a hash; return whether that can be done."""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) for name in value) and all(
            _named(found, name, value[name]) for name in sorted(value)
        )
    if is_frame(value):
        return all(_named(found, str(name), _column(value[name])) for name in value.columns)
    if is_items(value):
        return all(_add(found, value[place]) for place in range(len(value)))
    if isinstance(value, list | tuple) and any(not isinstance(part, bool | int | float | str) for part in value):
        found.update(f"({len(value)})".encode())
        return all(_add(found, part) for part in value)
    array = as_array(value)
    if array.dtype.hasobject:
        return False
    found.update(f"{array.dtype.str} {array.shape} ".encode())
    found.update(np.ascontiguousarray(array).tobytes())
    return True


def _named(found: Any, name: str, value: Any) -> bool:
    found.update(f"{name} ".encode())
    return _add(found, value)


def _column(column: Any) -> npt.NDArray[Any]:
    values = np.asarray(column)
    return values.astype(str) if values.dtype.hasobject else values


def _library(value: Any) -> str:
    return "" if isinstance(value, type) else type(value).__module__.partition(".")[0]
