"""Tables of KEEL that `fedsim data get` brings: rows without a header, the class last."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Lt

from fedsim.core import ScenarioError
from fedsim.data.partitioned import Partitioned, apart, deal_out, hold_out
from fedsim.data.partitions import IID, AnyDealing
from fedsim.data.reading.files import read
from fedsim.data.reading.normalise import Normalise, normalised
from fedsim.data.sources import catalogue


@dataclass(frozen=True, kw_only=True)
class FetchedTable:
    """A table that `fedsim data get` brings; a subclass has the word as `dataset`, and says how many rows there are."""

    dataset: str
    clients: Annotated[int, Ge(1)]
    """How many clients share the rows."""
    partition: AnyDealing = IID
    """How the rows are dealt to them."""
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Held out for the global evaluation before the rest is dealt; stratified by class."""
    normalise: Normalise = None
    """{mean: [...], std: [...]}, one number a feature, or `channel` for those of the training rows; null: as is."""
    test_per_client: Annotated[float, Gt(0), Lt(1)] | None = None
    """Share of its examples that each client holds out for itself, by key, on which `evaluate.clients` judges; null:
    none."""
    rows: ClassVar[int]

    @property
    def num_clients(self) -> int | None:
        """N."""
        return self.clients

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when there are more clients than rows for them."""
        train = self.rows - int(self.rows * self.test_fraction)
        needed = self.clients * self.partition.least
        if needed > train:
            yield "clients", f"{self.clients} clients need {needed} training rows, and there are {train}"

    def problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield the command that fetches it, where it is not here."""
        source = catalogue()[self.dataset]
        if not source.is_here:
            yield "dataset", source.missing()

    def inputs(self, folder: str) -> dict[str, dict[str, Path]]:
        """Return the file that is read."""
        return {"dataset": {"rows": self._file()}}

    def load(self, seed: int, folder: str = ".") -> Partitioned:
        """Read the rows; classes are numbered in their order."""
        *columns, classes = zip(*_rows(self._file()), strict=True)
        x = np.concatenate([_numbers(column) for column in columns], axis=1)
        values, numbers = np.unique(classes, return_inverse=True)
        y = numbers.astype(np.int64)
        train = hold_out(y, self.test_fraction, seed)
        dealt = deal_out(x, y, self.partition, self.clients, len(values), seed=seed, train=train)
        return normalised(apart(dealt, self.test_per_client, seed), self.normalise)

    def _file(self) -> Path:
        source = catalogue()[self.dataset]
        if not source.is_here:
            raise ScenarioError(f"data.dataset: {source.missing()}")
        return source.folder / next(iter(source.files))


def _rows(path: Path) -> list[list[str]]:
    """Return the cells of each row."""
    lines = read(path).decode("latin-1").splitlines()
    return [[cell.strip() for cell in row] for row in csv.reader(lines) if row]


def _numbers(column: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return a column as features (n, k): numbers as they are, words as one feature each that is 0 or 1, sorted.

    >>> _numbers(["2", "0.5"]).tolist(), _numbers(["b", "a", "b"]).tolist()
    ([[2.0], [0.5]], [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    """
    try:
        return np.array([float(cell) for cell in column], np.float32)[:, None]
    except ValueError:
        values, numbers = np.unique(column, return_inverse=True)
        return np.eye(len(values), dtype=np.float32)[numbers]
