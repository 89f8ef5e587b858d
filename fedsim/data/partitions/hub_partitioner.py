"""Partitioners of flwr-datasets: `partition: {kind: "flwr_datasets.partitioner:DirichletPartitioner", alpha: 0.5}`."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from fedsim.core.foreign.door import Door, made, options_of
from fedsim.core.foreign.failures import ForeignError, blamed
from fedsim.core.foreign.reference import Thing
from fedsim.core.rng import digest
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import NOBODY, Ints

ROW = "row"


def is_partitioner(target: Any) -> bool:
    """Return whether a class is a partitioner of flwr-datasets, by what it has."""
    return isinstance(target, type) and all(hasattr(target, name) for name in ("load_partition", "num_partitions"))


def config(door: Door, thing: Thing) -> type:
    """Return a partitioner as the config class `data: {partition: {kind: ...}}`.

    The number of partitions is that of the clients, the labels stand in the column `partition_by` (by default `label`),
    and the seed is a hash of the run's unless one is given. Examples that no partition has are left out.
    """
    options, named = options_of(door, thing, without=("num_partitions",))
    ours = {"partition_by": "label", "seed": None}
    passed = tuple(replace(one, default=ours.get(one.name, one.default)) for one in options)

    def deal(self: Any, labels: Ints, clients: int, seed: int) -> Ints:
        given = self.options()
        if "seed" in given and given["seed"] is None:
            given["seed"] = digest(seed, "partition.flwr_datasets") % 2**31
        with blamed(str(thing.text), seed):
            partitioner = thing.target(**given, **dict.fromkeys(named, clients))
            columns = {given.get("partition_by", "label"): labels, ROW: np.arange(len(labels))}
            partitioner.dataset = import_module("datasets").Dataset.from_dict(columns)
            count = partitioner.num_partitions
            parts = [np.asarray(partitioner.load_partition(part)[ROW], np.int64) for part in range(count)]
        if count != clients:
            raise ForeignError(f"{thing.text}: gives {count} partitions, and there are {clients} clients")
        owners = np.full(len(labels), NOBODY, np.int64)
        for client, rows in enumerate(parts):
            if not len(rows):
                raise ForeignError(f"{thing.text}: client {client} gets no example")
            owners[rows] = client
        return owners

    looks = any(option.name == "partition_by" for option in options)
    methods = {"owners": deal, "by_label": property(lambda self: looks)}
    return made(door, thing, "kind", Dealing, options=passed, methods=methods)
