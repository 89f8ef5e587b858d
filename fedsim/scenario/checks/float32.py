"""Numbers that training uses in float32: what it cannot hold becomes zero or infinite there, and is refused before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

LARGEST = 3.4028234663852886e38
SMALLEST = 2.0**-149
"""The smallest number above zero; half of it, and what is below, becomes zero."""
_NOT_USED_SO = frozenset({"probabilities", "timeout_s"})
"""Numbers that stay float64."""


def unfit(config: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (keys, message) for every number inside a config that float32 cannot hold.

    >>> from fedsim.core import LocalWork
    >>> list(unfit(LocalWork(lr=1e39)))
    [(('lr',), 'float32 holds numbers from 1.4e-45 to 3.4e+38, got 1e+39')]
    """
    if isinstance(config, float) and config and not SMALLEST / 2 < abs(config) <= LARGEST:
        yield path, f"float32 holds numbers from {SMALLEST:.2g} to {LARGEST:.2g}, got {config:g}"
    elif is_dataclass(config):
        for field in fields(config):
            if field.name not in _NOT_USED_SO:
                yield from unfit(getattr(config, field.name), (*path, field.name))
    elif isinstance(config, tuple | list):
        for place, value in enumerate(config):
            yield from unfit(value, (*path, str(place)))
