"""From arrays x, y, x_test, y_test and a client column, as a user has them, to client data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fedsim.core import ScenarioError
from fedsim.data.partitioned import Features, Partitioned, deal_out, hold_out, hold_out_within, pool
from fedsim.data.partitions.config import Dealing, Partition
from fedsim.data.partitions.natural import Natural
from fedsim.data.reading.headers import Header
from fedsim.data.reading.targets import meant

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
    numbers: bool = False,
    tokens: bool = True,
) -> Partitioned:
    """Check the arrays x, y (x_test, y_test, the natural partition's column), hold out, and deal to clients.

    What targets are meant as is told in `reading.targets`, unless they are said to be `numbers`: labels are sorted and
    renumbered from 0. Without x_test a `test_fraction` is held out: stratified by label, or by client for the natural
    partition. Whole numbers of 64 bits stay so, as features, where they may be `tokens`
    and are divided by nothing. Errors call the arrays' origin `source` and list what it holds as `names`.

    Raises
    ------
    ScenarioError : for missing arrays, wrong types or shapes, NaN, or lengths that do not belong together.
    """
    column = partition.column if isinstance(partition, Natural) else None
    for key, message in array_problems(arrays, source, column, arrays if names is None else names):
        raise ScenarioError(f"data.{key}: {message}")
    tokens = tokens and divisor == 1.0
    x, known = (
        features(source, arrays, "x", tokens=tokens),
        meant(source, arrays["y"], arrays.get("y_test"), numbers=numbers),
    )
    y: Any = known.y
    test = None if known.y_test is None else (features(source, arrays, "x_test", tokens=tokens), known.y_test)
    if isinstance(partition, Dealing) and partition.by_label and not known.labels:
        kind = "rows of classes" if known.classes else "numbers"
        raise ScenarioError(
            f"data.partition.kind: {partition.kind} deals by label, and the targets are {kind}; iid and quantity "
            "do not look at them"
        )

    train = np.arange(len(y))
    if isinstance(partition, Natural):
        owners = partition.number(_column(source, arrays, partition.column))
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
        dealt = pool(x, y, owners, clients, known.classes, train=train, test=test, divisor=divisor)
    else:
        if clients is None or not isinstance(partition, Dealing):
            raise ScenarioError(
                f"data.clients: is needed by the {partition.kind} partition, unless each row names its client"
            )
        if test is None:
            train = hold_out(y if known.labels else np.zeros(len(y), np.int64), test_fraction, seed)
        dealt = deal_out(x, y, partition, clients, known.classes, seed=seed, train=train, test=test, divisor=divisor)
    return replace(dealt, values=known.values)


def array_problems(
    arrays: Mapping[str, Array | Header], source: str, column: str | None, names: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for arrays that are missing, or of a type, shape or length that cannot be meant.

    Headers are enough, so that it can be told before the arrays are read; `column` is the natural partition's.
    """
    needed = ["x", "y"] + (["x_test", "y_test"] if "x_test" in arrays or "y_test" in arrays else [])
    missing = [name for name in (*needed[:2], *([column] if column else []), *needed[2:]) if name not in arrays]
    if missing:
        yield "path", f"{source} lacks {' and '.join(missing)}; it holds {', '.join(names) or 'nothing'}"
    for name in needed:
        if name in arrays:
            found = _feature_problem(arrays, name) if name.startswith("x") else _label_problem(arrays, name)
            yield from (("path", f"{source}: {text}") for text in found)
    if column is not None and column in arrays and "y" in arrays:
        for text in _column_problem(arrays, column, source):
            yield "partition.column", text
    if not missing and len(needed) == 4 and arrays["x"].shape[1:] != arrays["x_test"].shape[1:]:
        yield "path", f"{source}: an example of x is {arrays['x'].shape[1:]}, of x_test {arrays['x_test'].shape[1:]}"


def channels_last(example: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape that an example should have when it looks like an image with channels last, else None.

    >>> channels_last((32, 32, 3)), channels_last((3, 32, 32)), channels_last((28, 28, 1))
    ((3, 32, 32), None, (1, 28, 28))
    """
    if len(example) == 3 and example[2] in (1, 3, 4) and min(example[:2]) > 4:
        return (example[2], *example[:2])
    return None


Layout = Literal["channels_first", "channels_last"]
"""Where the channels of images stand: (n, channels, height, width) or (n, height, width, channels)."""


def channels_first(arrays: Mapping[str, Array], layout: Layout | None) -> dict[str, Array]:
    """Return the same arrays with the channels of x and x_test first, where a layout says that they are images.

    Raises
    ------
    ScenarioError : they are none: (n, height, width) has one channel, four axes have channels.
    """
    if layout is None:
        return dict(arrays)
    found = dict(arrays)
    for name in ("x", "x_test"):
        if name in arrays:
            for text in layout_problems(arrays[name], name):
                raise ScenarioError(f"data.layout: {text}")
            if layout == "channels_last" and arrays[name].ndim == 4:
                found[name] = np.ascontiguousarray(np.moveaxis(arrays[name], -1, 1))
    return found


def layout_problems(array: Array | Header, name: str) -> Iterator[str]:
    """Yield a message when an array is none of images."""
    if array.ndim not in (3, 4):
        yield f"is of images, four axes or (n, height, width), and {name} is of shape {array.shape}; leave it out"


def _feature_problem(arrays: Mapping[str, Array | Header], name: str) -> Iterator[str]:
    x = arrays[name]
    if x.dtype.hasobject:
        yield _python_objects(name, "float")
    elif x.dtype.kind not in "fiub" or x.ndim == 0 or 0 in x.shape:
        yield f"{name} should be numbers, shape (n, ...), got {_told(x)}"


def _label_problem(arrays: Mapping[str, Array | Header], name: str) -> Iterator[str]:
    y, x = arrays[name], arrays.get(name.replace("y", "x", 1))
    if y.dtype.hasobject:
        yield _python_objects(name, "int")
    elif y.dtype.kind not in "fiub" or y.ndim == 0 or 0 in y.shape:
        cure = f"; number them: numpy.unique({name}, return_inverse=True)[1]" if y.dtype.kind in "US" else ""
        yield f"{name} should be integer labels or numbers, shape (n, ...), got {_told(y)}{cure}"
    elif x is not None and x.ndim and len(y.shape) and x.shape[0] != y.shape[0]:
        yield f"{x.shape[0]} examples but {y.shape[0]} labels in {name}"


def _column_problem(arrays: Mapping[str, Array | Header], name: str, source: str) -> Iterator[str]:
    values, length = arrays[name], (arrays["y"].shape or (0,))[0]
    if values.dtype.hasobject:
        yield f"{source}: {_python_objects(name, 'str')}"
    elif values.dtype.kind not in "fiubUS" or values.shape != (length,):
        wanted = f"should be integers or text of shape ({length},)"
        yield f"{name} in {source} {wanted}, got {_told(values)}"


def _python_objects(name: str, kind: str) -> str:
    return f"{name} holds Python objects; save it with .astype({kind})"


def features(source: str, arrays: Mapping[str, Array], name: str, *, tokens: bool) -> Features:
    """Return features as they are held: bytes and tokens as they are, all else float32; at least a channel or column.

    Raises
    ------
    ScenarioError : for NaN, and for numbers that float32 cannot hold.
    """
    x = arrays[name]
    if x.dtype != np.uint8 and not (tokens and x.dtype == np.int64):
        with np.errstate(over="ignore"):  # too large for float32 is infinite, which is refused
            x = x.astype(np.float32)
        if not np.isfinite(x).all():
            raise ScenarioError(
                f"data.path: {source}: {name} holds NaN or infinite numbers, first in row {_first_bad(x)}"
            )
    if x.ndim == 1:
        return x[:, None]
    return x[:, None] if x.ndim == 3 else x


def _column(source: str, arrays: Mapping[str, Array], name: str) -> Array:
    values = arrays[name]
    row = _first_broken(values)
    if row is not None:
        text = f"{name} in {source} should be integers or text, got {values[row]} in row {row}"
        raise ScenarioError(f"data.partition.column: {text}")
    return values.astype(np.int64) if values.dtype.kind == "f" else values


def _first_broken(values: Array) -> int | None:
    """Return the first row that holds no whole number of at most 2**53, None when all do, or are no floats at all."""
    if values.dtype.kind != "f":
        return None
    broken = ~((np.floor(values) == values) & (np.abs(values) <= 2.0**53))
    return int(np.flatnonzero(broken)[0]) if broken.any() else None


def _told(array: Array | Header) -> str:
    return f"{array.dtype} of shape {array.shape}"


def _first_bad(x: Array) -> int:
    return int(np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))[0])
