"""Server optimisers that are not ours: a user's own frozen dataclass `Transform`."""

from __future__ import annotations

from fedsim.core.foreign.door import Door, derived, made
from fedsim.core.foreign.reference import Thing
from fedsim.core.server.transform import Transform

CALLED = ("init", "apply", "rest")
"""What the server calls of a transform; what fails in there is told with its own file and line."""


def config(door: Door, thing: Thing) -> type:
    """Return a user's transform as the config class under `server_optimizer:`: itself, called by its reference."""
    cls = derived(door, thing, Transform, "a server optimiser has init and apply")
    return made(door, thing, "kind", cls, guard=CALLED)


DOOR = Door(
    "fedsim.server_optimizers",
    "a server optimiser: a frozen dataclass derived from fedsim.core.server.Transform, with init and apply",
    config,
)
