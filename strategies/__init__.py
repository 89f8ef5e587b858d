"""Strategies: one rule a file, pure mathematics; the Flower adapters are the subpackage `flower`.

Every module here that defines a `Strategy` with a field `name` is discovered by itself: a new one touches one file.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from inspect import getmembers, isclass
from pkgutil import iter_modules
from typing import Any

from fedsim.core import Strategy


@cache
def catalogue() -> dict[str, type[Any]]:
    """Return every strategy by the word that names it in `strategy: {name: ...}`."""
    found: dict[str, type[Any]] = {}
    for module in iter_modules(__path__):
        if module.ispkg:
            continue
        for _, member in getmembers(import_module(f"{__name__}.{module.name}"), isclass):
            if issubclass(member, Strategy) and is_dataclass(member):
                tag = next((f.default for f in fields(member) if f.name == "name"), None)
                if isinstance(tag, str) and tag == module.name:
                    found[tag] = member
    return dict(sorted(found.items()))
