"""The dataset `table`: a CSV or Parquet file with a column to learn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt, MinLen

from fedsim.core import ScenarioError
from fedsim.core.config.inputs import InputPath, place_of
from fedsim.core.config.plain import LATER
from fedsim.core.foreign.words import did_you_mean
from fedsim.data.partitioned import Partitioned, apart
from fedsim.data.partitions import IID, AnyDealing
from fedsim.data.partitions.iid import Iid
from fedsim.data.partitions.natural import Natural
from fedsim.data.reading.arrays import deal
from fedsim.data.reading.frames import CLIENT, Columns, arrays_of
from fedsim.data.reading.normalise import Normalise, normalised

if TYPE_CHECKING:
    import pandas as pd

LISTED = 12
"""Columns that a message lists."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A CSV file with a header, or a Parquet file (.parquet, .pq): a row is an example, its numbers the features.

    What is learnt follows the label column: text, whole numbers and yes or no (bool) are classes; numbers with a
    decimal point are learnt as numbers, by squared error. `task: {loss: mse}` learns whole numbers as numbers too.
    """

    dataset: Literal["table"] = "table"
    path: InputPath
    """The file, relative to the scenario file."""
    label: Annotated[str, MinLen(1)]
    """The column to learn."""
    features: Annotated[tuple[str, ...], MinLen(1)] | None = None
    """The columns to learn from, numbers; the default is every other column that holds numbers."""
    client: Annotated[str, MinLen(1)] | None = None
    """The column that says whose each row is: one client for each distinct value, the smallest first."""
    clients: Annotated[int, Ge(1)] | None = None
    """How many clients share the rows; with `client` they are counted."""
    partition: AnyDealing = IID
    """How the rows are dealt to them, where no column says whose they are."""
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Held out for the global evaluation: at random, of each class its share; with `client`, of each client."""

    normalise: Normalise = None
    """{mean: [...], std: [...]}, one number a feature, or `channel` for those of the training rows; null: as is."""
    test_per_client: Annotated[float, Gt(0), Lt(1)] | None = field(default=None, metadata=LATER)
    """Share of its examples that each client holds out for itself, by key, on which `evaluate.clients` judges; null:
    none."""

    @property
    def num_clients(self) -> int | None:
        """N, or None when only the file knows it."""
        return self.clients

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that do not fit together."""
        if self.clients is None and self.client is None:
            yield "clients", "say how many clients share the rows, or which column says whose each row is (`client`)"
        if self.client is not None and not isinstance(self.partition, Iid):
            yield "partition", f"the column {self.client} says whose each row is; leave one of the two out"
        for place, name in enumerate(self.features or ()):
            if name in (self.features or ())[:place]:
                yield f"features.{place}", f"{name} is there twice"
            elif name in (self.label, self.client):
                yield f"features.{place}", f"{name} is {'the label' if name == self.label else 'the client'}"
        if self.client == self.label:
            yield "client", f"{self.client} is the label"

    def problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when the file is not there or cannot be read, and for columns that it has not."""
        path = place_of(self.path, folder)
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "is not there"
            yield "path", f"{path} {kind}; expected a CSV or Parquet file"
            return
        try:
            columns = _columns(path)
        except ScenarioError as error:
            yield "path", str(error)
            return
        named = [("label", self.label), *([("client", self.client)] if self.client else [])]
        for key, name in (*named, *((f"features.{k}", name) for k, name in enumerate(self.features or ()))):
            if name not in columns:
                listed = ", ".join(columns[:LISTED]) + (", ..." if len(columns) > LISTED else "")
                hint = did_you_mean(name, columns)
                yield key, f"{path} has no column {name!r}{hint or f'; it has {listed}'}"

    def load(self, seed: int, folder: str = ".") -> Partitioned:
        """Read the file and deal its rows."""
        for key, message in self.problems_in(folder):
            raise ScenarioError(f"data.{key}: {message}")
        path = place_of(self.path, folder)
        columns = Columns(self.label, self.features, self.client)
        arrays, numbers = arrays_of(_read(path), columns, str(path), _line)
        if arrays["y"].dtype.kind == "U":
            arrays["y"] = np.unique(arrays["y"], return_inverse=True)[1]
        pooled = deal(
            arrays,
            str(path),
            clients=self.clients,
            partition=self.partition if self.client is None else Natural(column=CLIENT),
            test_fraction=self.test_fraction,
            divisor=1.0,
            seed=seed,
            numbers=numbers,
        )
        return normalised(apart(pooled, self.test_per_client, seed), self.normalise)


def _line(row: int) -> str:
    """Return where a row stands, the header being line 1.

    >>> _line(0)
    'line 2'
    """
    return f"line {row + 2}"


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _columns(path: Path) -> list[str]:
    if _is_parquet(path):
        import pyarrow as arrow
        from pyarrow.parquet import read_schema

        try:
            return [str(name) for name in read_schema(path).names]
        except (OSError, arrow.ArrowException) as error:
            raise ScenarioError(f"{path} cannot be read as Parquet: {_first_line(error)}") from error
    return [str(name) for name in _csv(path, nrows=0).columns]


def _read(path: Path) -> pd.DataFrame:
    if not _is_parquet(path):
        return _csv(path)
    from pandas import read_parquet

    frame: pd.DataFrame = read_parquet(path)
    return frame


def _csv(path: Path, nrows: int | None = None) -> pd.DataFrame:
    import pandas as pd

    separator = "\t" if ".tsv" in path.suffixes else ","
    try:
        return pd.read_csv(path, sep=separator, nrows=nrows, skipinitialspace=True)
    except (OSError, ValueError, EOFError, pd.errors.ParserError) as error:
        raise ScenarioError(f"data.path: {path} cannot be read as CSV: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
