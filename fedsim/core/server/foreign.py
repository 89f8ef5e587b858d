"""Server optimisers that are not ours: a user's own frozen dataclass `Transform`."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass

from fedsim.core.foreign.door import Door, made, refuse
from fedsim.core.foreign.reference import Thing
from fedsim.core.server.transform import Transform

CALLED = ("init", "apply", "rest")
"""What the server calls of a transform; what fails in there is told with its own file and line."""


def config(door: Door, thing: Thing) -> type:
    """Return a user's transform as the config class under `server_optimizer:`: itself, called by its reference."""
    cls = thing.target
    if not isinstance(cls, type) or not issubclass(cls, Transform):
        raise refuse(door, thing)
    if not is_dataclass(cls) or (inspect.get_annotations(cls) and "__dataclass_params__" not in cls.__dict__):
        raise refuse(door, thing, "lacks the line @dataclass(frozen=True, kw_only=True) above it")
    lacking = sorted(getattr(cls, "__abstractmethods__", ()))
    if lacking:
        raise refuse(door, thing, f"lacks {' and '.join(lacking)}; a server optimiser has init and apply")
    return made(door, thing, "kind", cls, guard=CALLED)


DOOR = Door(
    "fedsim.server_optimizers",
    "a server optimiser: a frozen dataclass derived from fedsim.core.server.Transform, with init and apply",
    config,
)
