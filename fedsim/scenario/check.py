"""A tree and a config class -> the frozen config, and every problem in the user's words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import annotated_types as at
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import ErrorDetails

from fedsim.core import Problem, ScenarioError, Strategy
from fedsim.core.foreign.door import Door, Foreign
from fedsim.core.foreign.failures import ForeignError, RefusedError, blamed
from fedsim.core.foreign.reference import Object
from fedsim.scenario.messages import describe, did_you_mean, either, show
from fedsim.scenario.tree import Entry, Items, Keys, Node, Place, Scalar, is_broken, nearest, plain, unfolded
from fedsim.scenario.types import Key, Shape, keys_of, shape

INVALID: Final = object()
"""Stands for a value that could not be read."""

MAX_UNKNOWN = 10
MAX_PROBLEMS = 200

Path = tuple[str, ...]


@dataclass
class Findings:
    """The problems found so far; where keys stand that are given in a wrong section; where relative paths start."""

    problems: list[Problem] = field(default_factory=list)
    homes: Mapping[str, str] = field(default_factory=dict)
    folder: str = "."

    def add(self, place: Place, path: Path, message: str) -> None:
        """Note one problem; beyond a number that anybody reads they are not kept, which is said."""
        if len(self.problems) == MAX_PROBLEMS - 1:
            message += " (and more is wrong than is listed here)"
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(place.file, place.line, place.column, ".".join(path), message))


def read(node: Node, annotation: Any, path: Path, key: Place, report: Findings) -> Any:
    """Return the value of a place, or INVALID. `key` is the place of its key, where missing keys are reported."""
    if is_broken(node):
        return INVALID
    allowed = shape(annotation)
    if isinstance(node, Scalar) and isinstance(node.value, Object) and allowed.door is not None:
        node = unfolded(node.value, node.place, str(allowed.key))
    if allowed.spelled is not None and isinstance(node, Scalar) and isinstance(node.value, str):
        node, key = _spelled(node, allowed.spelled), node.place
    if isinstance(node, Keys) and allowed.members is not None:
        cls = _choose(node, allowed, path, key, report)
        return INVALID if cls is None else read_config(node, cls, path, key, report, allowed.members)
    if isinstance(node, Items) and allowed.item is not None:
        return _read_items(node, allowed, path, report)
    if allowed.leaf is not None and not (allowed.structured and _meant_as_mapping(node, allowed)):
        value, wrong = read_leaf(plain(node), allowed.leaf)
        for below, message in wrong:
            found = nearest(node, below)
            if not is_broken(found):
                report.add(found.place, (*path, *below), message if below else _with_mapping(message, allowed))
        return INVALID if wrong else value
    report.add(node.place, path, f"must be {_mapping_words(allowed, plain(node))}, got {show(plain(node))}")
    return INVALID


def _spelled(word: Scalar, meaning: Callable[[str], Mapping[str, Any]]) -> Keys:
    """Return the mapping that a word alone stands for, in its place."""
    options = {name: Scalar(value, word.place) for name, value in meaning(str(word.value)).items()}
    return Keys({name: Entry(word.place, value) for name, value in options.items()}, word.place)


def read_config(node: Keys, cls: type, path: Path, key: Place, report: Findings, others: Mapping[str, type]) -> Any:
    """Return the config object, or INVALID when any of its keys is wrong; its own `problems()` are reported too."""
    known = keys_of(cls)
    if issubclass(cls, Foreign):  # the class knows what it is called, and of which object it is made
        known = {name: key for name, key in known.items() if name != cls.key}
        node = Keys({name: entry for name, entry in node.entries.items() if name != cls.key}, node.place)
    values, sound = read_keys(node, known, path, key, report, others=others)
    if any(value is INVALID for value in values.values()) or any(
        spec.required and name not in values for name, spec in known.items()
    ):
        return INVALID
    try:
        with _told_of(cls):
            config = cls(**values)
            tell = getattr(cls, "problems", None)  # a strategy need not have any of its own
            found = [] if tell in (None, Strategy.problems) else list(config.problems())
    except (ScenarioError, ForeignError, ValueError) as error:
        found, sound = [("", str(error))], False
    for name, message in found:
        below = tuple(filter(None, name.split(".")))
        report.add(nearest(node, below).place, (*path, *below), message)
    return config if sound and not found else INVALID


def _told_of(cls: type) -> AbstractContextManager[None]:
    return blamed(str(cls.thing.text)) if issubclass(cls, Foreign) else nullcontext()


def read_keys(
    node: Keys,
    known: Mapping[str, Key],
    path: Path,
    key: Place,
    report: Findings,
    *,
    complete: bool = True,
    others: Mapping[str, type] | None = None,
) -> tuple[dict[str, Any], bool]:
    """Return the values of the known keys (some INVALID), and whether no key is unknown or missing.

    Of a text that is not `complete` no key is called missing. `others` are the choices beside this one, by tag.
    """
    unknown = [(name, entry.key) for name, entry in node.entries.items() if name not in known]
    for name, place in unknown[:MAX_UNKNOWN]:
        report.add(place, (*path, name), f"unknown key{_what_instead(name, known, path, report, others or {})}")
    if len(unknown) > MAX_UNKNOWN:
        report.add(unknown[MAX_UNKNOWN][1], path, f"{len(unknown) - MAX_UNKNOWN} more keys here are unknown")
    sound = not unknown
    values: dict[str, Any] = {}
    for name, spec in known.items():
        if name in node.entries:
            entry = node.entries[name]
            values[name] = read(entry.node, spec.annotation, (*path, name), entry.key, report)
        elif spec.required and complete:
            sound = False
            report.add(key, (*path, name), f"is missing; {expected_words(spec.annotation)}")
    return values, sound


def _what_instead(name: str, known: Mapping[str, Key], path: Path, report: Findings, others: Mapping[str, type]) -> str:
    """Return a hint for an unknown key: an option of another choice, a slip, a key of another section."""
    choices = [tag for tag, cls in others.items() if name in keys_of(cls)]
    if choices:
        return f"; it is an option of {either(choices)}"
    hint = did_you_mean(name, known)
    if hint:
        return hint
    home = report.homes.get(name, "")
    if home and home.split(".")[0] not in path:
        return f"; did you mean {home!r}?"
    return f" (allowed here: {', '.join(known)})"


def expected_words(annotation: Any) -> str:
    """Return what a missing key should hold."""
    allowed = shape(annotation)
    words = [describe(allowed.leaf)] if allowed.leaf is not None else []
    return f"give {either([*words, *([_mapping_words(allowed)] if allowed.structured else [])])}"


def _choose(node: Keys, allowed: Shape, path: Path, key: Place, report: Findings) -> type | None:
    """Return the member that the mapping's tag names, or report that there is none."""
    assert allowed.members is not None
    if allowed.key is None:
        return allowed.members[""]
    if allowed.key not in node.entries:
        report.add(key, (*path, allowed.key), f"is missing; give one of {', '.join(allowed.members)}")
        return None
    tag = node.entries[allowed.key].node
    if is_broken(tag):
        return None
    given = tag.value if isinstance(tag, Scalar) else None
    if allowed.door is not None and given not in allowed.members and allowed.door.opens(given):
        keys = [name for name in node.entries if name != allowed.key]
        return _foreign(given, allowed.door, keys, tag.place, (*path, allowed.key), report)
    if not isinstance(given, str) or given not in allowed.members:
        hint = did_you_mean(given, allowed.members) if isinstance(given, str) else ""
        message = f"must be one of {', '.join(allowed.members)}; got {show(plain(tag))}{hint}"
        report.add(tag.place, (*path, allowed.key), message)
        return None
    return allowed.members[given]


def _foreign(given: Any, door: Door, keys: Sequence[str], place: Place, path: Path, report: Findings) -> type | None:
    """Return the config class of foreign code, or report why it cannot stand here."""
    try:
        return door.choose(given, report.folder, keys)
    except RefusedError as error:
        report.add(place, path, str(error))
        return None


def _read_items(node: Items, allowed: Shape, path: Path, report: Findings) -> Any:
    values = [
        read(item, allowed.item, (*path, str(number)), item.place, report) for number, item in enumerate(node.items)
    ]
    shortest = max((m.min_length for m in allowed.marks if isinstance(m, (at.MinLen, at.Len))), default=0)
    longest = min(
        (m.max_length for m in allowed.marks if isinstance(m, (at.MaxLen, at.Len)) if m.max_length), default=None
    )
    if len(values) < shortest:
        report.add(node.place, path, f"must be a list of at least {shortest}, got {show(plain(node))}")
        return INVALID
    if longest is not None and len(values) > longest:
        report.add(node.place, path, f"must be a list of at most {longest}, got {show(plain(node))}")
        return INVALID
    if any(value is INVALID for value in values):
        return INVALID
    return allowed.sequence(values)


def _meant_as_mapping(node: Node, allowed: Shape) -> bool:
    """Whether words about the mapping help more than words about the leaf: only null is allowed beside it."""
    return allowed.leaf is type(None) and not (isinstance(node, Scalar) and node.value is None)


def _with_mapping(message: str, allowed: Shape) -> str:
    """Mention the mapping that is allowed besides the leaf."""
    if not allowed.structured or ", got " not in message:
        return message
    start, end = message.split(", got ", 1)
    return f"{start} or {_mapping_words(allowed)}, got {end}"


def _mapping_words(allowed: Shape, got: Any = None) -> str:
    if allowed.members is None:
        return "a list of mappings"
    if allowed.key is None:
        names = list(keys_of(allowed.members[""]))
        return f"a mapping with {'keys such as ' if len(names) > 3 else ''}{', '.join(names[:3])}"
    tags = list(allowed.members)
    example = got if got in tags else tags[0]
    return f"a mapping such as {{{allowed.key}: {example}}} ({allowed.key} is one of {', '.join(tags)})"


MAX_REPORTED = 10


@lru_cache(maxsize=1024)
def adapter(annotation: Any) -> TypeAdapter[Any]:
    """Return pydantic's validator of a leaf type: strict, and without infinities; foreign types take anything."""
    try:
        return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))
    except PydanticUserError:
        return TypeAdapter(Any)


def read_leaf(value: Any, annotation: Any) -> tuple[Any, list[tuple[tuple[str, ...], str]]]:
    """Return the validated value, and what is wrong as (keys below this place, message).

    >>> read_leaf(3, float)
    (3.0, [])
    >>> read_leaf([1, "x"], list[int])
    (None, [(('1',), "must be a whole number, got 'x'")])
    """
    # strict mode reads a list into a tuple, and no text into a number, only when the input is JSON
    try:
        text = json.dumps(value)
    except TypeError:
        return None, list(_objects(value))
    try:
        return adapter(annotation).validate_json(text), []
    except ValidationError as error:
        first = error.errors(include_url=False)
    errors, chosen = first, annotation
    if isinstance(value, (list, dict)):
        for arm in _arms(annotation):
            found = _errors(text, arm)
            if found and _depth(value, found) > _depth(value, errors if chosen is not annotation else []):
                errors, chosen = found, arm
    return None, _worded(value, chosen, errors)


def _objects(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield a message for every Python object in a value that a file could not hold."""
    if isinstance(value, Object):
        kinds = "text, numbers, lists, mappings and the configs of its own sections"
        yield path, f"a scenario holds {kinds}; got {value}"
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _objects(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _objects(inner, (*path, str(number)))


def _arms(annotation: Any) -> Sequence[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        return [Annotated[(arm, *marks)] for arm in _arms(inner)]
    return get_args(annotation) if origin in (Union, UnionType) else [annotation]


def _errors(text: str, annotation: Any) -> list[ErrorDetails]:
    try:
        adapter(annotation).validate_json(text)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _depth(value: Any, errors: Sequence[ErrorDetails]) -> int:
    """Return how deep an alternative got into the value before it refused: the deeper, the likelier it was meant."""
    return min((len(_keys(value, error["loc"])) for error in errors), default=0)


def _keys(value: Any, location: Sequence[int | str]) -> tuple[str, ...]:
    """Return the part of pydantic's location that exists in the value; the rest names branches of unions."""
    keys = []
    for part in location:
        if not (_is_place(value, part) or _is_key(value, part)):
            break
        value = value[part]
        keys.append(str(part))
    return tuple(keys)


def _is_place(value: Any, part: int | str) -> bool:
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _is_key(value: Any, part: int | str) -> bool:
    return isinstance(value, dict) and part in value


def _worded(value: Any, annotation: Any, errors: Sequence[ErrorDetails]) -> list[tuple[tuple[str, ...], str]]:
    found: dict[tuple[str, ...], str] = {}
    for error in errors:
        keys = _keys(value, error["loc"])
        given, allowed = value, annotation
        for key in keys:
            given = given[int(key)] if isinstance(given, list) else given[key]
            allowed = _item(allowed, key)
        found.setdefault(keys, message(given, allowed))
    listed = list(found.items())
    if len(listed) > MAX_REPORTED:
        listed = [*listed[:MAX_REPORTED], ((), f"{len(listed) - MAX_REPORTED} more values here are wrong")]
    return listed


def _item(annotation: Any, key: str) -> Any:
    """Return the type of one entry of a list or mapping type."""
    for arm in _arms(annotation):
        bare = get_args(arm)[0] if get_origin(arm) is Annotated else arm
        parts = get_args(bare)
        if get_origin(bare) in (dict, Mapping):
            return parts[1]
        if get_origin(bare) is tuple and parts[-1] is not Ellipsis:
            return parts[int(key)] if int(key) < len(parts) else Any
        if parts and get_origin(bare) in (list, tuple):
            return parts[0]
    return Any


def message(given: Any, annotation: Any) -> str:
    """Return what is allowed and what was given.

    >>> from typing import Literal
    >>> message("dorp", Literal["fail", "drop"])
    "must be 'fail' or 'drop', got 'dorp'; did you mean 'drop'?"
    """
    words = [word for arm in _arms(annotation) for word in get_args(arm) if isinstance(word, str)]
    hint = did_you_mean(given, words) if isinstance(given, str) else ""
    if (isinstance(given, float) and given in (float("inf"), float("-inf"))) or given != given:
        hint = "; it must be finite"
    return f"must be {describe(annotation)}, got {show(given)}{hint}"
