"""What an unquoted word of YAML means: the core schema of YAML 1.2, not 1.1.

So `1e-3` is a number, `no` is text, `012` is twelve and `1:30` is text (YAML 1.2.2, section 10.3.2).
"""

from __future__ import annotations

import re

_CONSTANTS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((s + w for s in ("", "+") for w in (".inf", ".Inf", ".INF")), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_STARTS = frozenset("+-.0123456789~nNtTfF")
"""What a word that is not text starts with."""
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_NUMBER = re.compile(r"[-+]?(?:(?P<whole>[0-9]+)|(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)\Z")
_MAX_DIGITS = 400
"""Longer integers stay text: nothing here counts that far, and Python refuses to read them beyond 4,300 digits."""


def resolve(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted word.

    >>> [resolve(word) for word in ("1e-3", "no", "012", "1:30", "0o17", "-.inf", "~", "True", "1_000")]
    [0.001, 'no', 12, '1:30', 15, -inf, None, True, '1_000']
    """
    if text and text[0] not in _STARTS:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _MAX_DIGITS:
        return text
    if number := _NUMBER.match(text):
        return int(text) if number["whole"] else float(text)
    return int(text, 0) if _BASED.match(text) else text
