"""A config as plain values: dicts, lists and scalars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import MappingProxyType
from typing import Any

LATER: Mapping[str, Any] = MappingProxyType({"later": True})
"""Metadata of a field that an older config got after it was first released: `field(default=..., metadata=LATER)`.

At its default such a key is no part of what a run is, so that the hashes of earlier scenarios stay.
"""


def plain_value(value: Any, *, later: bool = True) -> Any:
    """Return a config as dicts, lists and scalars; `later=False` leaves out later keys that are at their default."""
    if is_dataclass(value) and not isinstance(value, type):
        kept = (f for f in fields(value) if f.init and not f.metadata.get("internal"))
        held = {f: getattr(value, f.name) for f in kept}
        return {
            f.name: plain_value(inner, later=later) for f, inner in held.items() if later or not _at_default(f, inner)
        }
    if isinstance(value, Mapping):
        return {key: plain_value(inner, later=later) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain_value(inner, later=later) for inner in value]
    return value


def _at_default(field: Field[Any], value: Any) -> bool:
    if not field.metadata.get("later"):
        return False
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return bool(value == default)
