"""Processes that are not ours: who comes, by `cohort(round)` of a class that is built from the world."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedsim.core import World
from fedsim.core.contracts import Ids, Vector
from fedsim.core.foreign.door import Door, made, options_of, refuse
from fedsim.core.foreign.failures import ForeignError, blamed, guarded
from fedsim.core.foreign.reference import Thing
from fedsim.participation.config import Participation

CHECKED = ("problems", "problems_in", "nobody_comes")


@dataclass(frozen=True, eq=False)
class ForeignProcess:
    """A user's process, whose answers are checked: ids of clients that there are, each once."""

    num_clients: int
    inner: Any
    text: str
    place: str
    seed: int

    def cohort(self, round: int) -> Ids:
        """Return the ids present in a round, ascending."""
        with blamed(self.text, self.seed, round):
            found = np.asarray(self.inner.cohort(round))
        ids = np.unique(found)
        if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
            raise self._wrong(f"cohort({round}) must be a list of client ids, got {found.dtype} of shape {found.shape}")
        if ids.size != found.size:
            raise self._wrong(f"cohort({round}) names a client twice")
        if ids.size and not (ids[0] >= 0 and ids[-1] < self.num_clients):
            outside = ids[0] if ids[0] < 0 else ids[-1]
            raise self._wrong(f"cohort({round}): client {outside} does not exist (0 to {self.num_clients - 1})")
        return ids.astype(np.int64)

    @property
    def probabilities(self) -> Vector | None:
        """The marginal probabilities (N,), None when the process tells none."""
        with blamed(self.text):
            known = getattr(self.inner, "probabilities", None)
            found = None if known is None else np.asarray(known, dtype=np.float64)
        if found is not None and (found.shape != (self.num_clients,) or not ((found > 0) & (found <= 1)).all()):
            raise self._wrong(f"probabilities must be {self.num_clients} numbers in (0, 1], or None")
        return found

    def _wrong(self, text: str) -> ForeignError:
        return ForeignError(f"{self.text}: {self.place}: {text}")


def config(door: Door, thing: Thing) -> type:
    """Return a user's class as the config class `participation: {kind: ...}`."""
    target = thing.target
    if isinstance(target, type) and callable(getattr(target, "process", None)):
        options, named = options_of(door, thing)
    elif isinstance(target, type) and callable(getattr(target, "cohort", None)):
        options, named = options_of(door, thing, without=("world",))
    elif inspect.isroutine(target):
        options, named = options_of(door, thing, without=("world",))
        if not named:
            raise refuse(
                door, thing, "is a function; it is called with `world` and returns an object with cohort(round)"
            )
    elif not isinstance(target, type) and callable(getattr(target, "cohort", None) or getattr(target, "process", None)):
        options, named = (), frozenset()
    else:
        raise refuse(door, thing)
    method = "cohort" if callable(getattr(target, "cohort", None)) else "process"
    expected = ("round",) if method == "cohort" else ("world",)
    if not inspect.isroutine(target):
        _check_call(door, thing, method, expected)

    place = thing.place

    def process(self: Any, world: World) -> ForeignProcess:
        with blamed(str(thing.text), world.seed):
            given = dict.fromkeys(named, world)
            inner = target(**given, **self.options(world.folder)) if callable(target) else target
            if not hasattr(inner, "cohort") and hasattr(inner, "process"):
                inner = inner.process(world)
        if not callable(getattr(inner, "cohort", None)):
            raise ForeignError(f"{thing.text}: {thing.place}: gives no object with cohort(round)")
        return ForeignProcess(world.num_clients, inner, str(thing.text), place, world.seed)

    if isinstance(target, type) and issubclass(target, Participation):
        own = {"process": Participation.process, "bare": _checked(target, thing)}
        return made(door, thing, "kind", target, methods=own, guard=CHECKED)
    return made(
        door, thing, "kind", Participation, options=options, methods={"bare": process}, yields=("modulate", "select")
    )


def _checked(target: Any, thing: Thing) -> Any:
    written = target.bare if target.process is Participation.process else target.process
    build, place = guarded(written, str(thing.text)), thing.place

    def process(self: Any, world: World) -> ForeignProcess:
        return ForeignProcess(world.num_clients, build(self, world), str(thing.text), place, world.seed)

    return process


def _check_call(door: Door, thing: Thing, name: str, arguments: tuple[str, ...]) -> None:
    method = getattr(thing.target, name)
    try:
        inspect.signature(method).bind(*([None] if isinstance(thing.target, type) else []), *arguments)
    except TypeError:
        given = inspect.signature(method)
        raise refuse(door, thing, f"has {name}{given}; it is called with ({', '.join(arguments)})") from None


DOOR = Door(
    "fedsim.processes",
    "a process: a class with cohort(round), which is built from the world",
    config,
)
"""How a reference stands under `participation: {kind: ...}`."""
