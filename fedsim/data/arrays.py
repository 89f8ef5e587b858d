"""From arrays x, y, x_test, y_test and a client column, as a user has them, to client data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import ScenarioError
from fedsim.data.partitioned import Features, Partitioned, hold_out, hold_out_within, pool
from fedsim.data.partitions.config import Dealing, Partition
from fedsim.data.partitions.natural import Natural

Array = npt.NDArray[Any]


def deal(
    arrays: Mapping[str, Array],
    source: str,
    *,
    clients: int | None,
    partition: Partition,
    test_fraction: float,
    divisor: float,
    seed: int,
    names: Sequence[str] | None = None,
) -> Partitioned:
    """Check the arrays x, y (x_test, y_test, the natural partition's column), hold out, and deal to clients.

    Labels are sorted and renumbered from 0. Without x_test a `test_fraction` is held out: stratified by label, or by
    client for the natural partition. Errors call the arrays' origin `source` and list what it holds as `names`.

    Raises
    ------
    ScenarioError : for missing arrays, wrong types or shapes, NaN, or lengths that do not belong together.
    """
    column = partition.column if isinstance(partition, Natural) else None
    _must_hold(source, arrays, column, arrays if names is None else names)
    x, y = _features(source, arrays, "x"), _labels(source, arrays, "y")
    test = (_features(source, arrays, "x_test"), _labels(source, arrays, "y_test")) if "x_test" in arrays else None
    if test is not None and test[0].shape[1:] != x.shape[1:]:
        raise ScenarioError(f"data.path: {source}: an example of x is {x.shape[1:]}, of x_test {test[0].shape[1:]}")
    values = np.unique(y if test is None else np.concatenate([y, test[1]]))
    y = np.searchsorted(values, y).astype(np.int64)
    if test is not None:
        test = test[0], np.searchsorted(values, test[1]).astype(np.int64)

    train = np.arange(len(y))
    if isinstance(partition, Natural):
        owners = partition.number(_column(source, arrays, partition.column, len(y)))
        found = int(owners.max()) + 1
        if clients not in (None, found):
            raise ScenarioError(
                f"data.clients: {clients} given, but {column} in {source} has {found} distinct values; "
                "clients may be left out here"
            )
        clients = found
        if test is None:
            train = hold_out_within(owners, test_fraction, seed)
            owners = owners[train]
    else:
        assert isinstance(partition, Dealing)
        assert clients is not None, "the config's problems() asks for it"
        if test is None:
            train = hold_out(y, test_fraction, seed)
        owners = partition.owners(y[train], clients, seed)
    return pool(x, y, owners, clients, len(values), train=train, test=test, divisor=divisor)


def _must_hold(source: str, arrays: Mapping[str, Array], column: str | None, names: Iterable[str]) -> None:
    needed = ["x", "y", *([column] if column else [])]
    if "x_test" in arrays or "y_test" in arrays:
        needed += ["x_test", "y_test"]
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise ScenarioError(
            f"data.path: {source} lacks {' and '.join(missing)}; it holds {', '.join(names) or 'nothing'}"
        )


def _features(source: str, arrays: Mapping[str, Array], name: str) -> Features:
    x = arrays[name]
    if x.dtype.kind not in "fiub" or x.ndim == 0 or 0 in x.shape:
        raise ScenarioError(f"data.path: {source}: {name} should be numbers, shape (n, ...), got {_told(x)}")
    if x.dtype != np.uint8:
        with np.errstate(over="ignore"):  # too large for float32 is infinite, which is refused
            x = x.astype(np.float32)
        if not np.isfinite(x).all():
            raise ScenarioError(
                f"data.path: {source}: {name} holds NaN or infinite numbers, first in row {_first_bad(x)}"
            )
    if x.ndim == 1:
        return x[:, None]
    return x[:, None] if x.ndim == 3 else x


def _labels(source: str, arrays: Mapping[str, Array], name: str) -> Array:
    y, x = arrays[name], arrays[name.replace("y", "x", 1)]
    if y.dtype.kind not in "iub" or y.ndim != 1:
        raise ScenarioError(f"data.path: {source}: {name} should be integer labels, shape (n,), got {_told(y)}")
    if len(y) != len(x):
        raise ScenarioError(f"data.path: {source}: {len(x)} examples but {len(y)} labels in {name}")
    return y.astype(np.int64)


def _column(source: str, arrays: Mapping[str, Array], name: str, length: int) -> Array:
    values = arrays[name]
    if values.dtype.kind not in "iubUS" or values.shape != (length,):
        raise ScenarioError(
            f"data.partition.column: {name} in {source} should be integers or text of shape ({length},), "
            f"got {_told(values)}"
        )
    return values


def _told(array: Array) -> str:
    return f"{array.dtype} of shape {array.shape}"


def _first_bad(x: Array) -> int:
    return int(np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))[0])
