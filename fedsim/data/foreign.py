"""Datasets that are not ours: a callable or a dataclass that gives examples, in any form that `reading.given` knows.

It gets `seed` and `folder`, and any of the keys below, where its signature names them, and its own options by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Lt, MinLen

from fedsim.core import ClientData, ScenarioError
from fedsim.core.config.plain import LATER
from fedsim.core.foreign.content import is_array, is_dataset
from fedsim.core.foreign.door import Door, Foreign, made, options_of, refuse
from fedsim.core.foreign.failures import RefusedError, blamed
from fedsim.core.foreign.reference import Thing
from fedsim.data.partitioned import Partitioned, apart, held_apart
from fedsim.data.partitions import IID, AnyPartition
from fedsim.data.partitions.iid import Iid
from fedsim.data.partitions.natural import Natural
from fedsim.data.reading.arrays import Layout, channels_first, deal
from fedsim.data.reading.frames import CLIENT, Columns
from fedsim.data.reading.given import Given, given
from fedsim.data.reading.normalise import Normalise, normalised

GIVEN = ("seed", "folder", "clients", "test_fraction")
"""What the run itself gives to a dataset."""
ARRAYS = ("x", "y", "x_test", "y_test", "client", "test")
"""What a dataset may give by name; `test` (n,) marks the rows that their client holds out for itself, as yes or no,
or is a list with one (x, y) for each client."""
COLUMNS = ("label", "features", "client", "layout")
"""Keys that make way for an option of the user's own."""


@dataclass(frozen=True, kw_only=True)
class ForeignData(ABC):
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
    layout: Layout | None = field(default=None, metadata=LATER)
    """Where the channels of images are; channels_last moves them to the front; null: as they are."""
    label: Annotated[str, MinLen(1)] | None = field(default=None, metadata=LATER)
    """Of a frame or a Hugging Face dataset: the column to learn; for the latter label, labels or y when left out."""
    features: Annotated[tuple[str, ...], MinLen(1)] | None = field(default=None, metadata=LATER)
    """Of the same: the columns to learn from; the default is every other column that holds numbers."""
    client: Annotated[str, MinLen(1)] | None = field(default=None, metadata=LATER)
    """Of the same: the column that says whose each row is, one client for each distinct value, the smallest first."""

    @property
    def num_clients(self) -> int | None:
        """N, or None when only the data know it."""
        return self.clients

    @abstractmethod
    def found(self, seed: int, folder: str) -> Any:
        """Return what the foreign code gives."""

    def load(self, seed: int, folder: str = ".") -> ClientData:
        """Have the foreign code give its examples, and deal them."""
        assert isinstance(self, Foreign), "made by the door"
        return dealt(self, self.thing, self.found(seed, folder), seed)


def dealt(config: ForeignData, thing: Thing, found: Any, seed: int) -> ClientData:
    """Return what foreign code gave as client data.

    Raises
    ------
    ScenarioError : it gave something else, its arrays do not fit together, or the keys beside it do not fit them.
    """
    if _is_client_data(found):
        return _own_clients(config, thing, found)
    with blamed(str(thing.text)):
        one = _given(config, thing, found)
        source = _source(thing)
        try:
            pooled = _dealt(config, source, one, seed)
        except ScenarioError as error:
            if str(error).startswith("data.path: "):
                raise ScenarioError(f"data.dataset: {str(error).removeprefix('data.path: ')}") from error
            raise
    return normalised(pooled, config.normalise)


def _marks(config: ForeignData, source: str, arrays: dict[str, Any]) -> Any | None:
    """Take out which rows are their client's own test part, None without; all of them are the test set if none is."""
    marks = arrays.pop("test", None)
    if marks is None:
        return None
    x, y = arrays.get("x"), arrays.get("y")
    rows = (0 if y is None or not y.ndim else len(y),)
    if marks.dtype != bool or marks.shape != rows:
        text = f"test should mark each client's own test rows by true and false, shape {rows}"
        raise ScenarioError(f"data.dataset: {source}: {text}; got {marks.dtype} of shape {marks.shape}")
    if marks.all() or not marks.any():
        raise ScenarioError(f"data.dataset: {source}: test marks {'all' if marks.any() else 'none'} of the rows")
    if config.test_per_client is not None:
        raise ScenarioError(f"data.test_per_client: {source} says itself which rows clients hold out; leave it out")
    if x is not None and len(x) == len(marks) and "x_test" not in arrays and "y_test" not in arrays:
        arrays |= {"x_test": x[marks], "y_test": arrays["y"][marks]}
    return marks


def _is_client_data(found: Any) -> bool:
    return all(hasattr(found, name) for name in ("num_clients", "num_examples", "input_shape", "rows", "test"))


def _own_clients(config: ForeignData, thing: Thing, found: ClientData) -> ClientData:
    if config.clients not in (None, found.num_clients):
        text = f"gives data of {found.num_clients} clients, and `clients` is {config.clients}; leave it out"
        raise ScenarioError(f"data.clients: {thing.text}: {thing.place}: {text}")
    if config.normalise is None:
        return found
    if not isinstance(found, Partitioned):
        text = f"is for arrays, and {thing.text} gives client data of its own; leave it out"
        raise ScenarioError(f"data.normalise: {text}")
    return normalised(found, config.normalise)


def _source(thing: Thing) -> str:
    """Return what messages call the examples: the reference, and the line of the user's file."""
    text = str(thing.text)
    return text if thing.place == text else f"{text} ({thing.place})"


def _given(config: ForeignData, thing: Thing, found: Any) -> Given:
    own = {option.name for option in getattr(config, "passed", ())}
    named: dict[str, Any] = {name: getattr(config, name) for name in COLUMNS[:3] if name not in own}
    try:
        return given(found, Columns(**named))
    except RefusedError as error:
        place = "" if thing.place == str(thing.text) else f"{thing.place}: "
        raise ScenarioError(f"data.dataset: {thing.text}: {place}{error}") from error


def _dealt(config: ForeignData, source: str, one: Given, seed: int) -> Partitioned:
    """Return examples as client data."""
    own = {option.name for option in getattr(config, "passed", ())}
    layout: Layout | None = None if "layout" in own else config.layout
    arrays, partition = channels_first(one.arrays, layout), config.partition
    if one.natural or (CLIENT in arrays and config.clients is None and isinstance(partition, Iid)):
        if not isinstance(partition, Iid | Natural):
            text = "leave it out, or give the examples without their clients"
            raise ScenarioError(f"data.partition: {source} says whose each example is; {text}")
        partition = partition if isinstance(partition, Natural) else Natural(column=CLIENT)
    marks = _marks(config, source, arrays)
    pooled = deal(
        arrays,
        source,
        clients=config.clients,
        partition=partition,
        test_fraction=config.test_fraction,
        divisor=config.divide_by or 1.0,
        seed=seed,
        numbers=one.numbers,
        tokens=config.normalise is None,
    )
    if marks is not None:
        return held_apart(pooled, ~marks[pooled.order])
    return apart(pooled, config.test_per_client, seed)


def config(door: Door, thing: Thing) -> type:
    """Return a user's callable, dataclass or examples as the config class `data: {dataset: ...}`."""
    target = thing.target
    whole = is_dataset(target) or isinstance(target, Mapping | list | tuple) or not callable(target)
    if not whole:
        options, named = options_of(door, thing, without=GIVEN)
    elif is_dataset(target) or isinstance(target, Mapping | list | tuple) or hasattr(target, "rows"):
        options, named = (), frozenset()
    else:
        raise refuse(door, thing)

    def found(self: Any, seed: int, folder: str) -> Any:
        given = {"seed": seed, "folder": folder, "clients": self.clients, "test_fraction": self.test_fraction}
        with blamed(str(thing.text), seed):
            if whole:
                return target
            made_of = target(**{name: given[name] for name in named}, **self.options(folder))
            if is_dataset(made_of):
                return made_of
            load = getattr(made_of, "load", None)
            if callable(load):
                return load(seed, folder)
            if isinstance(target, type) and callable(made_of):
                return made_of()
            if isinstance(target, type) and hasattr(made_of, "x") and not hasattr(made_of, "rows"):
                given = {name: getattr(made_of, name, None) for name in ARRAYS}
                return {k: v for k, v in given.items() if v is not None and (k != "test" or np.ndim(v))}
            return made_of

    return made(door, thing, "dataset", ForeignData, options=options, methods={"found": found}, yields=COLUMNS)


def takes(value: Any) -> bool:
    """Return whether a Python value is meant as examples: arrays, tables or datasets, alone or for each client."""
    if isinstance(value, list):
        return (
            bool(value)
            and all(isinstance(part, Mapping | tuple) or is_dataset(part) for part in value)
            and (all(map(takes, value)))
        )
    if isinstance(value, tuple):
        return len(value) in (2, 4) and (all(map(is_array, value)) or (len(value) == 2 and all(map(takes, value))))
    if isinstance(value, Mapping):
        return "dataset" not in value and ({"x", "y"} <= {*value} or ("train" in value and takes(value["train"])))
    return is_dataset(value)


DOOR = Door(
    "fedsim.datasets",
    "a dataset: examples, or a function, class or dataclass that gives them",
    config,
    takes,
)
"""How a reference stands under `data: {dataset: ...}`."""
