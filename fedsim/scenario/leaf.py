"""Leaves of a scenario: numbers, text, lists of numbers. pydantic decides, in strict mode, and words are ours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from fedsim.scenario.words import describe, did_you_mean, show

MAX_REPORTED = 10


@lru_cache(maxsize=1024)
def adapter(annotation: Any) -> TypeAdapter[Any]:
    """Return pydantic's validator of a leaf type: strict, and without infinities."""
    return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))


def read(value: Any, annotation: Any) -> tuple[Any, list[tuple[tuple[str, ...], str]]]:
    """Return the validated value, and what is wrong as (keys below this place, message).

    >>> read(3, float)
    (3.0, [])
    >>> read([1, "x"], list[int])
    (None, [(('1',), "must be a whole number, got 'x'")])
    """
    # strict mode reads a list into a tuple, and no text into a number, only when the input is JSON
    text = json.dumps(value)
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
