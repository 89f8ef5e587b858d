"""The dataset `npz`: a user's own arrays."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from zipfile import BadZipFile, is_zipfile

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core import ScenarioError
from fedsim.core.inputs import InputPath, place_of
from fedsim.data.arrays import Array, deal
from fedsim.data.partitioned import Partitioned
from fedsim.data.partitions import IID, AnyPartition
from fedsim.data.partitions.natural import Natural


@dataclass(frozen=True, kw_only=True)
class Npz:
    """Your own arrays in one .npz file: x, y, optional x_test and y_test, optional client for the natural partition.

    x is (n, ...): vectors, or images with channels first; (n, height, width) becomes (n, 1, height, width). y are
    integers, any values: sorted and renumbered from 0. Nothing in the file is unpickled.
    """

    dataset: Literal["npz"] = "npz"
    path: InputPath
    """The file, relative to the scenario file."""
    clients: Annotated[int, Ge(1)] | None = None
    """How many clients share the examples; the natural partition counts them itself."""
    partition: AnyPartition = IID
    """How the examples are dealt to them."""
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Held out when the file has no x_test: stratified by label, or by client for the natural partition."""
    divide_by: Annotated[float, Gt(0)] = 1.0
    """Features are divided by this, e.g. 255 for images stored in bytes."""

    @property
    def num_clients(self) -> int | None:
        """N, or None when only the file knows it (natural partition)."""
        return self.clients

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that do not fit together."""
        if self.clients is None and not isinstance(self.partition, Natural):
            yield "clients", f"is needed by the {self.partition.kind} partition; only natural counts the clients itself"

    def problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when the file is not there, or no .npz file."""
        path = place_of(self.path, folder)
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "is not there"
            yield "path", f"{path} {kind}; expected a .npz file with the arrays x and y"
        elif not is_zipfile(path):
            yield "path", f"{path} is no .npz file (numpy.savez writes one), or it is truncated"

    def load(self, seed: int, folder: str = ".") -> Partitioned:
        """Read the file and deal its examples."""
        for key, message in self.problems_in(folder):
            raise ScenarioError(f"data.{key}: {message}")
        path = place_of(self.path, folder)
        column = [self.partition.column] if isinstance(self.partition, Natural) else []
        arrays, names = _read(path, ["x", "y", "x_test", "y_test", *column])
        return deal(
            arrays,
            str(path),
            names=names,
            clients=self.clients,
            partition=self.partition,
            test_fraction=self.test_fraction,
            divisor=self.divide_by,
            seed=seed,
        )


def _read(path: Path, wanted: list[str]) -> tuple[dict[str, Array], list[str]]:
    """Return the arrays of a file that are wanted and there, and the names of all it holds."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in wanted if name in file.files}, list(file.files)
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise ScenarioError(f"data.path: {path} cannot be read: {error}") from error
