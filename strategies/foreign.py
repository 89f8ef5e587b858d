"""Strategies that are not ours: a user's own frozen dataclass `Rule`, or a `Gossip` of its own kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import numpy as np

from fedsim.core.contracts import Cohort, LinearSum, Rule, Sums
from fedsim.core.foreign.door import Door, derived, made, refuse
from fedsim.core.foreign.failures import ForeignError, guarded
from fedsim.core.foreign.reference import Thing
from fedsim.strategies.gossip import Gossip

CALLED = {"start": ("params", "population"), "ask": ("state", "cohort"), "step": ("state", "cohort", "sums")}
"""What the engine calls of a rule, with what."""
PEERS = {"start": ("world",), "turns": ("state", "world", "round", "present")}
ALWAYS = ("problems", "needs_probabilities", "needs_coins", "diagnostics", "memory_mean")


def config(door: Door, thing: Thing) -> type:
    """Return a user's rule as the config class `strategy: {name: ...}`: the rule itself, called by its reference."""
    cls = derived(door, thing, (Rule, Gossip), "a rule has start, ask and step")
    called = CALLED if issubclass(cls, Rule) else PEERS
    for name, arguments in called.items():
        try:
            inspect.signature(getattr(cls, name)).bind(None, *arguments)
        except TypeError:
            given = inspect.signature(getattr(cls, name))
            raise refuse(door, thing, f"has {name}{given}; it is called with ({', '.join(arguments)})") from None
    checked = {"ask": _asking(thing, cls), "step": _stepping(thing, cls)} if issubclass(cls, Rule) else {}
    return made(door, thing, "name", cls, methods=checked, guard=[*called, *ALWAYS])


def _asking(thing: Thing, cls: type[Rule]) -> Callable[..., Any]:
    """Return a rule's `ask` that refuses what no sum can be formed of."""
    ask = guarded(cls.ask, str(thing.text))

    @wraps(cls.ask)
    def asking(self: Rule, state: Any, cohort: Cohort) -> Any:
        found = ask(self, state, cohort)
        if not isinstance(found, Mapping):
            raise _wrong(thing, f"ask must return sums by name, got {type(found).__name__}")
        for name, one in found.items():
            coefficients = (one.fresh, one.stale) if isinstance(one, LinearSum) and one.over == "cohort" else ()
            for given in coefficients:
                if given is not None and np.shape(given) != (len(cohort),):
                    text = f"of shape {np.shape(given)} for {len(cohort)} clients"
                    raise _wrong(thing, f"ask: {name!r} has coefficients {text}")
        return found

    return asking


def _stepping(thing: Thing, cls: type[Rule]) -> Callable[..., Any]:
    """Return a rule's `step` that refuses what cannot be added to the parameters."""
    step = guarded(cls.step, str(thing.text))

    @wraps(cls.step)
    def stepping(self: Rule, state: Any, cohort: Cohort, sums: Sums) -> Any:
        found = step(self, state, cohort, sums)
        if not isinstance(found, tuple) or len(found) != 2:
            raise _wrong(thing, f"step must return (state, update), got {_told(found)}")
        length = max((np.size(one) for one in sums.values() if np.ndim(one) == 1), default=None)
        if found[1] is not None and length is not None and np.shape(found[1]) != (length,):
            raise _wrong(thing, f"step: the update must be of shape ({length},) or None, got {_told(found[1])}")
        return found

    return stepping


def _told(value: Any) -> str:
    return f"shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _wrong(thing: Thing, text: str) -> ForeignError:
    return ForeignError(f"{thing.text}: {thing.place}: {text}")


DOOR = Door(
    "fedsim.strategies",
    "a strategy: a frozen dataclass derived from fedsim.core.Rule, with start, ask and step",
    config,
)
"""How a reference stands under `strategy: {name: ...}`."""
