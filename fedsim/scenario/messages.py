"""Plain words for what was given, what is allowed and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as at

from fedsim.core.foreign.words import did_you_mean as did_you_mean

_MAX_TEXT = 60


def show(value: Any) -> str:
    """Return a value as it would be written in YAML, shortened.

    >>> [show(v) for v in (True, None, "x", 1.0, [1, 2], {}, float("nan"))]
    ['true', 'null', "'x'", '1.0', 'a list of 2', 'an empty mapping', '.nan']
    """
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str):
        return repr(value if len(value) <= _MAX_TEXT else value[:_MAX_TEXT] + "...")
    if isinstance(value, float):
        return repr(value).replace("nan", ".nan").replace("inf", ".inf")
    if isinstance(value, Mapping):
        return f"a mapping with {_listed(value)}" if value else "an empty mapping"
    if isinstance(value, Sequence):
        return f"a list of {len(value)}" if value else "an empty list"
    text = str(value)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "..."


def printable(text: str) -> str:
    r"""Return text that a terminal shows as it is: what a file brings cannot move the cursor or start a line.

    >>> printable("a" + chr(27) + "[2J")
    'a\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _listed(names: Iterable[Any]) -> str:
    shown = [str(name)[:_MAX_TEXT] for name in names]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def either(words: Sequence[str]) -> str:
    """Join alternatives.

    >>> either(["a", "b", "c"])
    'a, b or c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


_NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    NoneType: "null",
    Any: "anything",
}


def describe(annotation: Any, limits: str = "") -> str:
    """Return what a type allows, in words.

    >>> describe(Annotated[int, at.Ge(1)] | Literal["auto"])
    "a whole number of at least 1 or 'auto'"
    >>> describe(Annotated[list[Annotated[float, at.Gt(0), at.Le(1)]], at.MinLen(1)])
    'a list of at least 1 value (each a number above 0 and at most 1)'
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return describe(parts[0], limits + _limits(parts[0], parts[1:]))
    if origin is Literal:
        return either([show(value) for value in parts])
    if origin in (Union, UnionType):
        return either(list(dict.fromkeys(describe(arm, limits) for arm in parts)))
    if origin is tuple and parts[-1] is not Ellipsis:
        return f"a list of {len(parts)}: " + ", ".join(describe(part) for part in parts)
    if origin in (tuple, list):
        return f"a list{limits} (each {describe(parts[0])})"
    if origin is Mapping:
        return f"a mapping{limits} (to each key {describe(parts[1])})"
    return _NAMES.get(annotation, "a mapping") + ("" if annotation is NoneType else limits)


def _limits(inner: Any, marks: Sequence[Any]) -> str:
    return _bounds(marks) + _lengths(marks, "character" if inner is str else "value")


def _bounds(marks: Sequence[Any]) -> str:
    low = next((f"of at least {m.ge}" if isinstance(m, at.Ge) else f"above {m.gt}" for m in marks if _low(m)), "")
    high = next((f"at most {m.le}" if isinstance(m, at.Le) else f"below {m.lt}" for m in marks if _high(m)), "")
    return "".join(f" {word}" for word in (low, "and" if low and high else "", high) if word)


def _low(mark: Any) -> bool:
    return isinstance(mark, at.Ge | at.Gt)


def _high(mark: Any) -> bool:
    return isinstance(mark, at.Le | at.Lt)


def _lengths(marks: Sequence[Any], unit: str) -> str:
    least = max((m.min_length for m in marks if isinstance(m, at.MinLen | at.Len)), default=0)
    most = min(
        (m.max_length for m in marks if isinstance(m, at.MaxLen | at.Len) if m.max_length is not None), default=0
    )
    if most:
        return f" of {least} to {most} {unit}s"
    return f" of at least {least} {unit}{'s' if least > 1 else ''}" if least else ""
