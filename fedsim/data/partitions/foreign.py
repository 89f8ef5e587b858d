"""Partitions that are not ours: `owners(labels, clients, seed)` of the user's own, as a function or in a class."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from fedsim.core.foreign.door import Door, made, options_of, refuse
from fedsim.core.foreign.failures import ForeignError, blamed
from fedsim.core.foreign.reference import Thing
from fedsim.data.partitions import hub_partitioner
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import Ints

GIVEN = ("labels", "clients", "seed")
"""What a partition is called with."""


def config(door: Door, thing: Thing) -> type:
    """Return a user's partition as the config class `data: {partition: {kind: ...}}`."""
    target = thing.target
    if hub_partitioner.is_partitioner(target):
        return hub_partitioner.config(door, thing)
    is_class = isinstance(target, type)
    owners = getattr(target, "owners", None) if is_class or not inspect.isroutine(target) else target
    if not callable(owners):
        raise refuse(door, thing)
    options, named = options_of(door, thing, without=() if is_class or owners is not target else GIVEN)
    try:
        if owners is not target:
            inspect.signature(owners).bind(*([None] if is_class else []), *GIVEN)
        elif not {"labels", "clients"} <= named:
            raise TypeError
    except TypeError:
        given = f"{getattr(owners, '__name__', 'owners')}{inspect.signature(owners)}"
        raise refuse(door, thing, f"has {given}; it is called with ({', '.join(GIVEN)})") from None

    def deal(self: Any, labels: Ints, clients: int, seed: int) -> Ints:
        values = dict(zip(GIVEN, (labels, clients, seed), strict=True))
        with blamed(str(thing.text), seed):
            if owners is target:
                found = target(**{name: values[name] for name in named}, **self.options())
            else:
                dealer = target(**self.options()) if is_class else target
                found = dealer.owners(labels, clients, seed)
        return _checked(found, len(labels), clients, thing)

    return made(
        door, thing, "kind", Dealing, options=options if is_class or owners is target else (), methods={"owners": deal}
    )


def _checked(found: Any, examples: int, clients: int, thing: Thing) -> Ints:
    """Return whose each example is, as it must be: (n,), 0 to clients - 1, nobody without an example."""
    owners = np.asarray(found)
    if owners.shape != (examples,) or owners.dtype.kind not in "iu":
        got = f"{owners.dtype} of shape {owners.shape}"
        raise ForeignError(
            f"{thing.text}: {thing.place}: owners must be whole numbers of shape ({examples},), got {got}"
        )
    held = np.bincount(owners[(owners >= 0) & (owners < clients)], minlength=clients)
    if held.sum() < examples:
        raise ForeignError(f"{thing.text}: {thing.place}: owners must lie in 0 to {clients - 1}")
    if not held.all():
        raise ForeignError(f"{thing.text}: {thing.place}: client {int(np.argmin(held))} gets no example")
    return owners.astype(np.int64)


DOOR = Door("fedsim.partitions", "a partition: owners(labels, clients, seed), as a function or in a class", config)
"""How a reference stands under `data: {partition: {kind: ...}}`."""
