"""A state is a value: it can be taken apart into named arrays and put together again, without pickle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

from fedsim.core.contracts import Population

T = TypeVar("T")
Arrays = dict[str, npt.NDArray[Any]]


def _children(value: Any) -> Iterator[tuple[str, Any]] | None:
    if isinstance(value, Population):
        return iter(())  # a constant of the run that a state may refer to, not part of it
    if is_dataclass(value) and not isinstance(value, type):
        return ((f.name, getattr(value, f.name)) for f in fields(value))
    if isinstance(value, Mapping):
        return ((str(key), value[key]) for key in sorted(value))
    if isinstance(value, tuple):
        return ((str(place), item) for place, item in enumerate(value))
    return None


def flatten(state: Any, prefix: str = "") -> Arrays:
    """Take a state apart: dataclasses, mappings, tuples, arrays, numbers and None -> arrays by dotted name.

    >>> sorted(flatten({"a": np.zeros(2), "b": (1, 2.5)}))
    ['a', 'b.0', 'b.1']
    """
    children = _children(state)
    if children is not None:
        found: Arrays = {}
        for name, child in children:
            found |= flatten(child, f"{prefix}.{name}" if prefix else name)
        return found
    return {} if state is None else {prefix: np.asarray(state)}


def restore(template: T, arrays: Mapping[str, npt.NDArray[Any]], prefix: str = "") -> T:
    """Put a state together again: the inverse of `flatten`, given any state of the same structure.

    >>> restore({"n": 0}, flatten({"n": 7}))
    {'n': 7}
    """
    restored: T = _restore(template, arrays, prefix)
    return restored


def _restore(template: Any, arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> Any:
    children = _children(template)
    if isinstance(template, Population) or (children is None and template is None):
        return template
    if children is not None:
        parts = {k: _restore(v, arrays, f"{prefix}.{k}" if prefix else k) for k, v in children}
        if is_dataclass(template) and not isinstance(template, type):
            return replace(template, **parts)
        return parts if isinstance(template, Mapping) else tuple(parts.values())
    stored = arrays[prefix]
    if isinstance(template, np.ndarray):
        return np.array(stored, dtype=template.dtype)
    return type(template)(stored.item())


def save_arrays(file: Path | IO[bytes], arrays: Mapping[str, Any]) -> None:
    """Write named arrays as .npz."""
    np.savez(file, **arrays)
