"""The manual is the code: what the docstring under a field, or of a class, says."""

from __future__ import annotations

import ast
import inspect
from dataclasses import is_dataclass
from functools import cache
from itertools import pairwise
from textwrap import dedent


def first_line(cls: type) -> str:
    """Return the one line that says what a class is.

    >>> from fedsim.core import LocalWork
    >>> first_line(LocalWork)
    "Local training: plain SGD on the client's own examples, starting from the global parameters."
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
