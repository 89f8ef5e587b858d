"""What may stand in a place of the file, read from the type of a config's field.

A type such as `float | list[float] | Annotated[A | B, Tagged("law")]` allows a mapping (one of A and B, chosen by the
key `law`) or a leaf (a number or a list of numbers). Leaves are validated by pydantic; mappings are walked here, so
that every error has its key, its line and a list of what is allowed.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cache, lru_cache, reduce
from itertools import pairwise
from operator import or_
from textwrap import dedent
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from fedsim.core.config.tagged import OneOf, Tagged
from fedsim.core.foreign.door import Door
from fedsim.core.foreign.failures import RefusedError


@dataclass(frozen=True)
class Shape:
    """What a place allows; several of the parts may be given.

    Attributes
    ----------
    key, members : the tag key and the config classes by tag; key None with a single class under "" when untagged.
    item, sequence : type of a list's items when these are mappings, and the list's own type.
    leaf : type of everything else, or None.
    marks : constraints on the length of a list of mappings.
    door : how foreign code may stand here, where it may.
    spelled : what a word alone means as a mapping, where it may stand for one.
    structured : whether mappings are walked here.
    """

    key: str | None = None
    members: Mapping[str, type] | None = None
    item: Any = None
    sequence: type = tuple
    leaf: Any = None
    marks: tuple[Any, ...] = ()
    door: Door | None = None
    spelled: Callable[[str], Mapping[str, Any]] | None = None
    structured: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "structured", self.members is not None or self.item is not None)

    def choose(self, mapping: Mapping[str, Any], folder: str) -> type | None:
        """Return the class that a plain mapping chooses by its tag, if any; references start at `folder`."""
        if self.members is None:
            return None
        if self.key is None:
            return self.members[""]
        tag = mapping.get(self.key)
        if isinstance(tag, str) and tag in self.members:
            return self.members[tag]
        if self.door is None or not self.door.opens(tag):
            return None
        try:
            return self.door.choose(tag, folder, [key for key in mapping if key != self.key])
        except RefusedError:  # told where the mapping is read
            return None


@dataclass(frozen=True)
class Key:
    """One key of a config; `required` says that it must be given."""

    annotation: Any
    default: Any = MISSING
    factory: Callable[[], Any] | None = None
    required: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "required", self.default is MISSING and self.factory is None)


@lru_cache(maxsize=512)
def keys_of(cls: type) -> dict[str, Key]:
    """Return the keys of a config class, in order."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        f.name: Key(hints[f.name], f.default, None if f.default_factory is MISSING else f.default_factory)
        for f in fields(cls)
        if f.init and not f.metadata.get("internal")
    }


@lru_cache(maxsize=1024)
def shape(annotation: Any) -> Shape:
    """Return what a type allows.

    >>> from fedsim.core.server import ServerOptimizer
    >>> sorted(shape(ServerOptimizer | None).members), shape(ServerOptimizer | None).leaf
    (['adabelief', 'adagrad', 'adam', 'amplify', 'fedhyper', 'lamb', 'momentum', 'yogi'], <class 'NoneType'>)
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        tagged = next((mark for mark in marks if isinstance(mark, Tagged)), None)
        if tagged is not None:
            place = tagged if isinstance(tagged, OneOf) else OneOf(tagged.key, dict)
            return Shape(tagged.key, tagged.members(inner), door=place.door, spelled=place.spelled)
        found = shape(inner)
        if not found.structured:
            return Shape(leaf=annotation)
        return replace(found, marks=(*found.marks, *marks))
    if origin in (Union, UnionType):
        return reduce(_both, (shape(arm) for arm in get_args(annotation)))
    if origin in (list, tuple):
        parts = get_args(annotation)
        if (origin is list or (len(parts) == 2 and parts[1] is Ellipsis)) and shape(parts[0]).structured:
            return Shape(item=parts[0], sequence=origin)
        return Shape(leaf=annotation)
    if isinstance(annotation, type) and is_dataclass(annotation):
        return Shape(None, {"": annotation})
    return Shape(leaf=annotation)


def _both(a: Shape, b: Shape) -> Shape:
    assert not (a.members and b.members), "a union of mappings needs one Tagged marker around it"
    leaves = [part.leaf for part in (a, b) if part.leaf is not None]
    return Shape(
        a.key or b.key,
        a.members or b.members,
        a.item if a.item is not None else b.item,
        a.sequence if a.item is not None else b.sequence,
        reduce(or_, leaves) if leaves else None,
        (*a.marks, *b.marks),
        a.door or b.door,
        a.spelled or b.spelled,
    )


def below(annotation: Any, mapping: Mapping[str, Any], name: str, folder: str) -> Any:
    """Return the type of the value under a key of a plain mapping, or None when nothing is known about it."""
    cls = shape(annotation).choose(mapping, folder) if annotation is not None else None
    key = keys_of(cls).get(name) if cls is not None else None
    return key.annotation if key else None


@lru_cache(maxsize=8)
def homes(root: type) -> dict[str, str]:
    """Return, for keys inside the sections of a config, the dotted key where each stands first.

    >>> from fedsim.scenario import Scenario
    >>> homes(Scenario)["lr"], homes(Scenario)["cutoff"]
    ('client.lr', 'strategy.cutoff')
    """
    found: dict[str, str] = {}
    places = {section: shape(key.annotation) for section, key in keys_of(root).items()}
    # sections of one kind first: their keys are there whatever is chosen elsewhere
    for section, allowed in sorted(places.items(), key=lambda item: item[1].key is not None):
        for cls in (allowed.members or {}).values():
            for name in keys_of(cls):
                found.setdefault(name, f"{section}.{name}")
    return found


@lru_cache(maxsize=8)
def configs(root: type) -> frozenset[type]:
    """Return a config class and those of all its sections, at any depth.

    >>> from fedsim.scenario import Scenario
    >>> from fedsim.strategies.fedavg import FedAvg
    >>> FedAvg in configs(Scenario), int in configs(Scenario)
    (True, False)
    """
    found: set[type] = set()
    waiting = [root]
    while waiting:
        cls = waiting.pop()
        if cls not in found:
            found.add(cls)
            waiting += [member for key in keys_of(cls).values() for member in _members(key.annotation)]
    return frozenset(found)


def _members(annotation: Any) -> list[type]:
    allowed = shape(annotation)
    return [*(allowed.members or {}).values(), *(_members(allowed.item) if allowed.item is not None else [])]


def first_line(cls: type) -> str:
    """Return the one line that says what a class is.

    >>> from fedsim.core import LocalWork
    >>> first_line(LocalWork)
    "Local training: SGD, or another optimiser, on the client's own examples, starting from the global parameters."
    """
    return (inspect.getdoc(cls) or "").split("\n", 1)[0]


@cache
def field_texts(cls: type) -> dict[str, str]:
    """Return the docstring under each field of a config class, inherited ones included.

    >>> from fedsim.core import LocalWork
    >>> field_texts(LocalWork)["local_steps"]
    'SGD steps per round.'
    """
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base):
            texts |= _texts(base)
    return texts


def _texts(cls: type) -> dict[str, str]:
    try:
        tree = ast.parse(dedent(inspect.getsource(cls)))
    except (OSError, TypeError):  # a program without its source still runs, it only explains less
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found: dict[str, str] = {}
    for place, following in pairwise(body):
        if isinstance(place, ast.AnnAssign) and isinstance(place.target, ast.Name):
            text = _text(following)
            if text:
                found[place.target.id] = " ".join(text.split())
    return found


def _text(statement: ast.stmt) -> str:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
