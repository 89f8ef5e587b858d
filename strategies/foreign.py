"""Strategies that are not ours: a user's own frozen dataclass `Rule`, or a `Gossip` of its own kind."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass

from fedsim.core.contracts import Rule
from fedsim.core.foreign.door import Door, made, refuse
from fedsim.core.foreign.reference import Thing
from fedsim.strategies.gossip import Gossip

CALLED = {"start": ("params", "population"), "ask": ("state", "cohort"), "step": ("state", "cohort", "sums")}
"""What the engine calls of a rule, with what."""
PEERS = {"start": ("world",), "turns": ("state", "world", "round", "present")}
ALWAYS = ("problems", "needs_probabilities", "diagnostics", "memory_mean")


def config(door: Door, thing: Thing) -> type:
    """Return a user's rule as the config class `strategy: {name: ...}`: the rule itself, called by its reference."""
    cls = thing.target
    if not isinstance(cls, type) or not issubclass(cls, Rule | Gossip):
        raise refuse(door, thing)
    if not is_dataclass(cls) or (inspect.get_annotations(cls) and "__dataclass_params__" not in cls.__dict__):
        raise refuse(door, thing, "lacks the line @dataclass(frozen=True, kw_only=True) above it")
    lacking = sorted(getattr(cls, "__abstractmethods__", ()))
    if lacking:
        raise refuse(door, thing, f"lacks {' and '.join(lacking)}; a rule has start, ask and step")
    called = CALLED if issubclass(cls, Rule) else PEERS
    for name, arguments in called.items():
        try:
            inspect.signature(getattr(cls, name)).bind(None, *arguments)
        except TypeError:
            given = inspect.signature(getattr(cls, name))
            raise refuse(door, thing, f"has {name}{given}; it is called with ({', '.join(arguments)})") from None
    return made(door, thing, "name", cls, guard=[*called, *ALWAYS])


DOOR = Door(
    "fedsim.strategies",
    "a strategy: a frozen dataclass derived from fedsim.core.Rule, with start, ask and step",
    config,
)
"""How a reference stands under `strategy: {name: ...}`."""
