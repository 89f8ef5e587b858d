"""The dataset `npz`: a user's own arrays."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from zipfile import BadZipFile, is_zipfile

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Lt

from fedsim.core import ScenarioError
from fedsim.data.files import place_of
from fedsim.data.partition import IID, AnyPartition, Natural
from fedsim.data.partitioned import Features, Partitioned, hold_out, hold_out_within, pool

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Npz:
    """Your own arrays in one .npz file: x, y, optional x_test and y_test, optional client for the natural partition.

    x is (n, ...): vectors, or images with channels first; (n, height, width) becomes (n, 1, height, width). y are
    integers, any values: sorted and renumbered from 0. Nothing in the file is unpickled.
    """

    dataset: Literal["npz"] = "npz"
    path: str
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
        column = self.partition.column if isinstance(self.partition, Natural) else None
        path = place_of(self.path, folder)
        arrays = _read(path, column)
        x, y = _features(path, arrays, "x"), _labels(path, arrays, "y")
        test = (_features(path, arrays, "x_test"), _labels(path, arrays, "y_test")) if "x_test" in arrays else None
        if test is not None and test[0].shape[1:] != x.shape[1:]:
            raise ScenarioError(f"data.path: {path}: an example of x is {x.shape[1:]}, of x_test {test[0].shape[1:]}")
        values = np.unique(y if test is None else np.concatenate([y, test[1]]))
        y = np.searchsorted(values, y).astype(np.int64)
        if test is not None:
            test = test[0], np.searchsorted(values, test[1]).astype(np.int64)

        if isinstance(self.partition, Natural):
            all_owners = self.partition.number(_column(path, arrays, self.partition.column, len(y)))
            clients = int(all_owners.max()) + 1
            if self.clients not in (None, clients):
                raise ScenarioError(
                    f"data.clients: {self.clients} given, but {self.partition.column} in {path} has {clients} distinct "
                    "values; clients may be left out here"
                )
            train = hold_out_within(all_owners, self.test_fraction, seed) if test is None else np.arange(len(y))
            owners = all_owners[train]
        else:
            assert self.clients is not None, "problems() asks for it"
            clients = self.clients
            train = hold_out(y, self.test_fraction, seed) if test is None else np.arange(len(y))
            owners = self.partition.owners(y[train], clients, seed)
        return pool(x, y, owners, clients, len(values), train=train, test=test, divisor=self.divide_by)


def _read(path: Path, column: str | None) -> dict[str, Array]:
    """Return the arrays that matter, after checking that they belong together."""
    wanted = ["x", "y", "x_test", "y_test", *([column] if column else [])]
    try:
        with np.load(path, allow_pickle=False) as file:
            present = list(file.files)
            arrays = {name: file[name] for name in wanted if name in present}
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise ScenarioError(f"data.path: {path} cannot be read: {error}") from error
    needed = ["x", "y", *([column] if column else [])]
    if ("x_test" in arrays) != ("y_test" in arrays):
        needed += ["x_test", "y_test"]
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise ScenarioError(
            f"data.path: {path} lacks {' and '.join(missing)}; it holds {', '.join(present) or 'nothing'}"
        )
    return arrays


def _features(path: Path, arrays: dict[str, Array], name: str) -> Features:
    x = arrays[name]
    if x.dtype.kind not in "fiub" or x.ndim == 0 or 0 in x.shape:
        raise ScenarioError(f"data.path: {path}: {name} should be numbers, shape (n, ...), got {_told(x)}")
    if x.dtype != np.uint8:
        with np.errstate(over="ignore"):  # too large for float32 is infinite, which is refused
            x = x.astype(np.float32)
        if not np.isfinite(x).all():
            raise ScenarioError(
                f"data.path: {path}: {name} holds NaN or infinite numbers, first in row {_first_bad(x)}"
            )
    if x.ndim == 1:
        return x[:, None]
    return x[:, None] if x.ndim == 3 else x


def _labels(path: Path, arrays: dict[str, Array], name: str) -> Array:
    y, x = arrays[name], arrays[name.replace("y", "x", 1)]
    if y.dtype.kind not in "iub" or y.ndim != 1:
        raise ScenarioError(f"data.path: {path}: {name} should be integer labels, shape (n,), got {_told(y)}")
    if len(y) != len(x):
        raise ScenarioError(f"data.path: {path}: {len(x)} examples but {len(y)} labels in {name}")
    return y.astype(np.int64)


def _column(path: Path, arrays: dict[str, Array], name: str, length: int) -> Array:
    values = arrays[name]
    if values.dtype.kind not in "iubUS" or values.shape != (length,):
        raise ScenarioError(
            f"data.partition.column: {name} in {path} should be integers or text of shape ({length},), "
            f"got {_told(values)}"
        )
    return values


def _told(array: Array) -> str:
    return f"{array.dtype} of shape {array.shape}"


def _first_bad(x: Array) -> int:
    return int(np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))[0])
