"""The dataset `hub`: the Hugging Face hub through flwr-datasets, an optional extra."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core import ScenarioError
from fedsim.core.config.inputs import Reads, place_of
from fedsim.core.config.plain import LATER
from fedsim.data.partitioned import Partitioned, apart
from fedsim.data.partitions import IID, AnyPartition
from fedsim.data.partitions.natural import Natural
from fedsim.data.reading.arrays import Array, deal
from fedsim.data.reading.normalise import Normalise, normalised


@dataclass(frozen=True, kw_only=True)
class Hub:
    """Any dataset of the Hugging Face hub, or a local folder of one, read by the package flwr-datasets.

    Images become channels first, in [0, 1]; other features stay as they are. The partitions are fedsim's own.
    """

    dataset: Literal["hub"] = "hub"
    path: Annotated[str, Reads(or_name=True)]
    """The dataset's name on the hub, e.g. ylecun/mnist, or a folder relative to the scenario file."""
    subset: str | None = None
    """The configuration to load, where the dataset has several."""
    features: str = "image"
    """The column of features."""
    labels: str = "label"
    """The column of labels, integers."""
    train: str = "train"
    """The split that the clients share."""
    test: str | None = "test"
    """The split for the global evaluation; null holds out `test_fraction` of the other."""
    clients: Annotated[int, Ge(1)] | None = None
    """How many clients share the examples; the natural partition counts them itself."""
    partition: AnyPartition = IID
    """How the examples are dealt to them."""
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Held out when `test` is null: stratified by label, or by client for the natural partition."""
    normalise: Normalise = field(default=None, metadata=LATER)
    """{mean: [...], std: [...]}, one number a channel, or `channel` for those of the training examples; null: as is."""
    test_per_client: Annotated[float, Gt(0), Lt(1)] | None = field(default=None, metadata=LATER)
    """Share of its examples that each client holds out for itself, by key, on which `evaluate.clients` judges; null:
    none."""

    @property
    def num_clients(self) -> int | None:
        """N, or None when only the data knows it (natural partition)."""
        return self.clients

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that do not fit together."""
        if self.clients is None and not isinstance(self.partition, Natural):
            yield "clients", f"is needed by the {self.partition.kind} partition; only natural counts the clients itself"

    def problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when the extra is not installed."""
        if find_spec("flwr_datasets") is None:
            yield "dataset", "hub needs the package flwr-datasets: pip install flwr-datasets"

    def inputs(self, folder: str) -> dict[str, dict[str, Path]]:
        """Return every file in a local folder, by its name there, which says what it is; none for a name on the hub."""
        local = place_of(self.path, folder)
        found = sorted(file for file in local.rglob("*") if file.is_file()) if local.is_dir() else []
        names = {file.relative_to(local).as_posix(): file for file in found}
        return {"path": {name: file for name, file in names.items() if not f"/{name}".count("/.")}}

    def load(self, seed: int, folder: str = ".") -> Partitioned:
        """Read (the first time: download) the splits and deal the examples."""
        for key, message in self.problems_in(folder):
            raise ScenarioError(f"data.{key}: {message}")
        from flwr_datasets import FederatedDataset

        local = place_of(self.path, folder)
        name = str(local) if local.is_dir() else self.path
        source = FederatedDataset(dataset=name, subset=self.subset, partitioners={}, shuffle=False)
        columns = {"x": self.features, "y": self.labels}
        if isinstance(self.partition, Natural):
            columns[self.partition.column] = self.partition.column
        arrays, divisor = _columns(source, name, self.train, columns)
        if self.test is not None:
            test, _ = _columns(source, name, self.test, {"x_test": self.features, "y_test": self.labels})
            arrays |= test
        dealt = deal(
            arrays,
            name,
            clients=self.clients,
            partition=self.partition,
            test_fraction=self.test_fraction,
            divisor=divisor,
            seed=seed,
            tokens=self.normalise is None,
        )
        return normalised(apart(dealt, self.test_per_client, seed), self.normalise)


def _columns(source: Any, name: str, split: str, columns: dict[str, str]) -> tuple[dict[str, Array], float]:
    """Return the columns of a split as arrays, and what its features are to be divided by (images: 255)."""
    try:
        table = source.load_split(split)
    except (OSError, ValueError) as error:
        raise ScenarioError(f"data.path: {name} cannot be loaded: {error}") from error
    absent = [column for column in columns.values() if column not in table.column_names]
    if absent:
        raise ScenarioError(
            f"data.path: split {split} of {name} lacks {' and '.join(absent)}; it holds {', '.join(table.column_names)}"
        )
    arrays, divisor, table = {}, 1.0, table.with_format("numpy")
    for key, column in columns.items():
        arrays[key] = np.asarray(table[column][:])
        if type(table.features[column]).__name__ == "Image":
            divisor = 255.0
            if arrays[key].ndim == 4:
                arrays[key] = np.ascontiguousarray(np.moveaxis(arrays[key], -1, 1))
    return arrays, divisor
