"""A scenario as a tree in which every value remembers where it was written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, Literal

import numpy as np

from fedsim.core.foreign.door import is_plain
from fedsim.core.foreign.reference import Object

Source = Literal["file", "base", "--set", "sweep", "default"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: file, line and column from 1, and which of the inputs that is."""

    file: str
    line: int = 1
    column: int = 1
    source: Source = "file"


class Broken(str):
    """Stands for a value whose text is wrong and was reported already: it is not judged again."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text, a number, true, false or null; from Python also an object."""

    value: str | int | float | bool | Object | None
    place: Place


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """A value in a mapping and the place of its key."""

    key: Place
    node: Node


@dataclass(frozen=True, slots=True)
class Keys:
    """A mapping; its keys are text."""

    entries: Mapping[str, Entry]
    place: Place


Node = Scalar | Items | Keys


def plain(node: Node) -> Any:
    """Return the value without places: dicts, lists and scalars."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {key: plain(entry.node) for key, entry in node.entries.items()}


def nearest(node: Node, path: Sequence[str]) -> Node:
    """Return the value at `path`, or the nearest thing above it that is written down.

    >>> tree = Keys({"a": Entry(Place("f", 1, 1), Scalar(3, Place("f", 1, 4)))}, Place("f"))
    >>> [nearest(tree, path).place.column for path in (["a"], ["a", "b"], ["c"])]
    [4, 4, 1]
    """
    for name in path:
        if isinstance(node, Keys) and name in node.entries:
            node = node.entries[name].node
        elif isinstance(node, Items) and name.isdecimal() and int(name) < len(node.items):
            node = node.items[int(name)]
        else:
            break
    return node


def is_broken(node: Node) -> bool:
    """Return whether a value was reported as unreadable."""
    return isinstance(node, Scalar) and isinstance(node.value, Broken)


def exactly(node: Node, path: Sequence[str]) -> Node | None:
    """Return the value at `path`, or None when it is not written down."""
    found = nearest(node, path)
    return found if not path or found is not nearest(node, path[:-1]) else None


def unfolded(given: Object, place: Place, key: str) -> Node:
    """Return the mapping that stands for a Python object: what it is, and its fields where it is a dataclass."""
    target = given.target
    entries = {}
    if is_dataclass(target) and not isinstance(target, type):
        held = {f.name: _as_written(getattr(target, f.name)) for f in fields(target) if f.init and f.name != key}
        if all(map(is_plain, held.values())):
            given = Object(type(target))
            entries = {name: Entry(place, as_node(value, place)) for name, value in held.items()}
    return Keys({key: Entry(place, Scalar(given, place)), **entries}, place)


def as_node(value: Any, place: Place) -> Node:
    """Return the tree of a plain value all of which stands at one place."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value) if f.init and not f.metadata.get("internal")}
    if isinstance(value, Mapping):
        return Keys({name: Entry(place, as_node(inner, place)) for name, inner in value.items()}, place)
    if isinstance(value, list | tuple):
        return Items(tuple(as_node(inner, place) for inner in value), place)
    return Scalar(value, place)


def _as_written(value: Any) -> Any:
    """Return a value as a file would hold it, also what is inside of lists and mappings."""
    value = plain_python(value)
    if isinstance(value, Mapping):
        return {name: _as_written(inner) for name, inner in value.items()}
    return [*map(_as_written, value)] if isinstance(value, list | tuple) else value


def plain_python(value: Any) -> Any:
    """Return numbers, arrays, paths and texts of any kind as Python's own; everything else as it is."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, Enum):
        value = value.value
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value
