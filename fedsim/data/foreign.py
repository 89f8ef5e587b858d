"""Datasets that are not ours: a callable or a dataclass that gives arrays, or client data of its own.

It gets `seed` and `folder`, and any of the keys below, where its signature names them, and its own options by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core import ClientData, ScenarioError
from fedsim.core.config.plain import LATER
from fedsim.core.foreign.door import Door, Foreign, made, options_of, refuse
from fedsim.core.foreign.failures import ForeignError, blamed
from fedsim.core.foreign.reference import Thing
from fedsim.data.arrays import deal
from fedsim.data.normalise import Normalise, normalised
from fedsim.data.partitioned import Partitioned, apart, held_apart
from fedsim.data.partitions import IID, AnyPartition

GIVEN = ("seed", "folder", "clients", "test_fraction")
"""What the run itself gives to a dataset."""
ARRAYS = ("x", "y", "x_test", "y_test", "client", "test")
"""What a dataset may give by name; `test` (n,) marks the rows that their client holds out for itself, as yes or no."""


@dataclass(frozen=True, kw_only=True)
class ForeignData:
    """Examples of the user's own, dealt to clients like those of a file."""

    dataset: str
    """The reference."""
    clients: Annotated[int, Ge(1)] | None = None
    """How many clients share the examples; the natural partition counts them itself, client data have their own."""
    partition: AnyPartition = IID
    """How the examples are dealt to them."""
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Held out where there is no x_test: stratified by label, or by client for the natural partition."""
    divide_by: Annotated[float, Gt(0)] | None = None
    """Features are divided by this, e.g. 255 for images."""
    normalise: Normalise = field(default=None, metadata=LATER)
    """{mean: [...], std: [...]}, one number a channel, or `channel` for those of the training examples; null: as is."""
    test_per_client: Annotated[float, Gt(0), Lt(1)] | None = field(default=None, metadata=LATER)
    """Share of its examples that each client holds out for itself, by key, on which `evaluate.clients` judges; null:
    none."""

    @property
    def num_clients(self) -> int | None:
        """N, or None when only the data know it."""
        return self.clients

    def found(self, seed: int, folder: str) -> Any:
        """Return what the foreign code gives."""
        raise NotImplementedError

    def load(self, seed: int, folder: str = ".") -> ClientData:
        """Have the foreign code give its examples, and deal them."""
        assert isinstance(self, Foreign), "made by the door"
        return dealt(self, self.thing, self.found(seed, folder), seed)


def dealt(config: ForeignData, thing: Thing, found: Any, seed: int) -> ClientData:
    """Return what foreign code gave as client data.

    Raises
    ------
    ForeignError : it gave something else. ScenarioError : its arrays do not fit together, or the keys beside it.
    """
    if all(hasattr(found, name) for name in ("num_clients", "num_examples", "input_shape", "rows", "test")):
        given: ClientData = found
        if config.clients not in (None, given.num_clients):
            text = f"gives data of {given.num_clients} clients, and `clients` is {config.clients}; leave it out"
            raise ForeignError(f"{thing.text}: {thing.place}: {text}")
        if config.normalise is None:
            return given
        if not isinstance(given, Partitioned):
            text = f"is for arrays, and {thing.text} gives client data of its own; leave it out"
            raise ScenarioError(f"data.normalise: {text}")
        return normalised(given, config.normalise)
    if not isinstance(found, Mapping):
        text = f"must give arrays by name (x, y, ...) or client data, got {type(found).__name__}"
        raise ForeignError(f"{thing.text}: {thing.place}: {text}")
    with blamed(str(thing.text)):
        arrays = {str(name): np.asarray(value) for name, value in found.items()}
    marks = _marks(config, thing, arrays)
    pooled = deal(
        arrays,
        str(thing.text),
        clients=config.clients,
        partition=config.partition,
        test_fraction=config.test_fraction,
        divisor=config.divide_by or 1.0,
        seed=seed,
        tokens=config.normalise is None,
    )
    if marks is not None:
        return normalised(held_apart(pooled, ~marks[pooled.order]), config.normalise)
    return normalised(apart(pooled, config.test_per_client, seed), config.normalise)


def _marks(config: ForeignData, thing: Thing, arrays: dict[str, Any]) -> Any | None:
    """Take out which rows are their client's own test part, None without; all of them are the test set if none is."""
    marks = arrays.pop("test", None)
    if marks is None:
        return None
    where, x, y = f"{thing.text}: {thing.place}", arrays.get("x"), arrays.get("y")
    rows = (0 if y is None or not y.ndim else len(y),)
    if marks.dtype != bool or marks.shape != rows:
        text = f"test should mark each client's own test rows by true and false, shape {rows}"
        raise ForeignError(f"{where}: {text}; got {marks.dtype} of shape {marks.shape}")
    if marks.all() or not marks.any():
        raise ForeignError(f"{where}: test marks {'all' if marks.any() else 'none'} of the rows")
    if config.test_per_client is not None:
        raise ScenarioError(f"data.test_per_client: {thing.text} says itself which rows clients hold out; leave it out")
    if x is not None and len(x) == len(marks) and "x_test" not in arrays and "y_test" not in arrays:
        arrays |= {"x_test": x[marks], "y_test": arrays["y"][marks]}
    return marks


def config(door: Door, thing: Thing) -> type:
    """Return a user's callable, dataclass or arrays as the config class `data: {dataset: ...}`."""
    target = thing.target
    if callable(target):
        options, named = options_of(door, thing, without=GIVEN)
    elif isinstance(target, Mapping) or hasattr(target, "rows"):
        options, named = (), frozenset()
    else:
        raise refuse(door, thing)

    def found(self: Any, seed: int, folder: str) -> Any:
        given = {"seed": seed, "folder": folder, "clients": self.clients, "test_fraction": self.test_fraction}
        with blamed(str(thing.text)):
            if not callable(target):
                return target
            made_of = target(**{name: given[name] for name in named}, **self.options(folder))
            load = getattr(made_of, "load", None)
            if callable(load):
                return load(seed, folder)
            if isinstance(target, type) and callable(made_of):
                return made_of()
            if isinstance(target, type) and hasattr(made_of, "x") and not hasattr(made_of, "rows"):
                given = {name: getattr(made_of, name, None) for name in ARRAYS}
                return {k: v for k, v in given.items() if v is not None and (k != "test" or np.ndim(v))}
            return made_of

    return made(door, thing, "dataset", ForeignData, options=options, methods={"found": found})


def takes(value: Any) -> bool:
    """Return whether a Python value is meant as examples: arrays by name."""
    return isinstance(value, Mapping) and {"x", "y"} <= {*value} and "dataset" not in value


DOOR = Door(
    "fedsim.datasets",
    "a dataset: a function or dataclass that gives arrays x, y, ..., or client data",
    config,
    takes,
)
"""How a reference stands under `data: {dataset: ...}`."""
