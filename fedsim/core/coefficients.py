"""A round's update written out as coefficients of single deltas and memories, read off the rule itself.

A linear rule does not look at the vectors it adds up. So in place of delta_i and h_i it is given unit vectors: the sum
it asks for is then the vector of its coefficients, and so is the update that its step returns. The mathematics of a
rule is said once, in `ask` and `step`. Effective weights and the variance probe read this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from fedsim.core.contracts import Cohort, Population, Rule
from fedsim.core.sums import DELTA, Asked, Dot, Vector

T = TypeVar("T")


@dataclass(frozen=True)
class Coefficients:
    """A round's update: v = sum_{i in S} fresh_i delta_i + sum_{i=1..N} stale_i h_i, with the OLD memories.

    Attributes
    ----------
    fresh : (|S|,) coefficients of the deltas of the cohort.
    stale : (N,) coefficients of the memories of all clients, or None when the rule has none.
    """

    fresh: Vector
    stale: Vector | None = None

    def rescaled(self, factors: Vector | None) -> Coefficients:
        """Return the coefficients of memories that count `factors` (N,) times; None leaves them as they are."""
        return self if self.stale is None or factors is None else replace(self, stale=self.stale * factors)


def coefficients(rule: Rule, state: Any, cohort: Cohort, weights: Vector) -> Coefficients:
    """Return what this round's update is made of, before any server transform; O(|S| + N) numbers, N with memories.

    Parameters
    ----------
    rule : a rule with `linear = True`.
    state : the rule's state before the round, with vectors of any length: they are not looked at.
    weights : (N,) the a_i of the running mean H = sum_i a_i h_i.
    """
    assert rule.linear, f"{type(rule).__name__} is not linear: its update has no coefficients"
    present = len(cohort)
    width = present + (len(weights) if rule.remembers else 0)
    mean = rule.memory_mean(state)
    if mean is not None:
        state = swapped(state, mean, np.concatenate([np.zeros(present), weights]))
    sums = {name: _units(asked, cohort, width) for name, asked in rule.ask(state, cohort).items()}
    _, update = rule.step(state, cohort, sums)
    found = np.zeros(width) if update is None else update
    return Coefficients(found[:present], found[present:] if rule.remembers else None)


def _units(asked: Asked, cohort: Cohort, width: int) -> Vector:
    """Return a sum over unit vectors: deltas of the cohort first, then the memories of all clients."""
    if isinstance(asked, Dot):
        return np.zeros(1)  # a linear rule lets it enter the next state only
    assert asked.of == DELTA, "the rule that adds up other vectors than deltas is not linear"
    found, present = np.zeros(width), len(cohort)
    if asked.over == "cohort":
        found[:present] = asked.fresh
        if asked.stale is not None:
            found[present + cohort.clients] = asked.stale
        return found
    found[:present] = asked.fresh[cohort.clients]
    if asked.stale is not None:
        found[present:] = asked.stale
        found[present + cohort.clients] = 0.0
    return found


def swapped(state: T, old: Vector, new: Vector) -> T:
    """Return a state with one of its arrays, known by identity, in place of another.

    >>> mean = np.zeros(2)
    >>> swapped({"count": 1, "inner": ((), mean)}, mean, np.ones(3))
    {'count': 1, 'inner': ((), array([1., 1., 1.]))}
    """
    found: T | None = _swapped(state, old, new)
    assert found is not None, "the array belongs to the state"
    return found


def _swapped(value: Any, old: Vector, new: Vector) -> Any:
    """Return the value with the array swapped, None where the array is not in it."""
    if value is old:
        return new
    if isinstance(value, Population):
        return None  # a constant of the run that a state may refer to, not part of it
    if is_dataclass(value):
        for field in fields(value):
            moved = _swapped(getattr(value, field.name), old, new)
            if moved is not None:
                return replace(value, **{field.name: moved})  # type: ignore[type-var]  # an object, not a class
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, tuple) else ()
    for key, item in items:
        moved = _swapped(item, old, new)
        if moved is not None:
            return {**value, key: moved} if isinstance(value, Mapping) else (*value[:key], moved, *value[key + 1 :])
    return None
