"""Codecs that are not ours: a user's own frozen dataclass `Codec`."""

from __future__ import annotations

from fedsim.core.foreign.door import Door, derived, made
from fedsim.core.foreign.reference import Thing
from fedsim.core.uplink.codec import Codec

CALLED = ("code", "nbytes", "whole", "variance", "contraction", "problems", "fits")
"""What a run calls of a codec; what fails in there is told with its own file and line."""


def config(door: Door, thing: Thing) -> type:
    """Return a user's codec as the config class of `uplink:`: itself, called by its reference."""
    cls = derived(door, thing, Codec, "a codec has code and nbytes")
    return made(door, thing, "codec", cls, guard=CALLED)


DOOR = Door(
    "fedsim.codecs",
    "a codec: a frozen dataclass derived from fedsim.core.uplink.Codec, with code and nbytes",
    config,
)
