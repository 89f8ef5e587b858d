"""A catalogue by file name: whatever a room holds one file of is found, so that a new one touches no list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from inspect import getmembers, isclass
from pkgutil import iter_modules
from typing import Any


def discover(package: str, path: Iterable[str], key: str) -> dict[str, type[Any]]:
    """Return the configs of a package by the word that chooses each: a dataclass whose `key` is its file's name.

    `strategies/fedau.py` holds a dataclass with the field `name: Literal["fedau"] = "fedau"`. A hyphen in the word is
    an underscore in the file's name. Other modules of the package are its tools; subpackages are left alone.

    Parameters
    ----------
    package, path : the package's `__name__` and `__path__`. key : the field that holds the word.
    """
    found: dict[str, type[Any]] = {}
    for module in iter_modules(path):
        if module.ispkg:
            continue
        for _, member in getmembers(import_module(f"{package}.{module.name}"), isclass):
            if is_dataclass(member):
                tag = next((f.default for f in fields(member) if f.name == key), None)
                if isinstance(tag, str) and tag.replace("-", "_") == module.name:
                    found[tag] = member
    return dict(sorted(found.items()))


def room(package: str, key: str) -> Callable[[], Mapping[str, type[Any]]]:
    """Return the catalogue of a package by the package's name, looked at when it is first asked for.

    So a contract can have an option whose choices stand on a floor above it.
    """

    @cache
    def catalogue() -> Mapping[str, type[Any]]:
        return discover(package, import_module(package).__path__, key)

    return catalogue
