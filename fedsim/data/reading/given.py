"""What foreign code gives as examples: arrays, tables and datasets of other libraries, all turned to arrays by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core.foreign.content import as_array, is_array, is_dataset, is_frame, is_hub, is_items
from fedsim.core.foreign.failures import RefusedError
from fedsim.core.foreign.words import did_you_mean
from fedsim.data.reading.frames import CLIENT, Columns, arrays_of

Array = npt.NDArray[Any]
Part = tuple[Array, Array]

ALLOWED = (
    "arrays by name or in a tuple (x, y, optional x_test, y_test, client), a pandas frame, a torch or Hugging Face "
    "Dataset, {train: ..., test: ...} of these, a list of them with one for each client, or client data"
)
"""What foreign code may give."""
NAMES = ("x", "y", "x_test", "y_test")
LABELS = ("label", "labels", "y")
"""Columns of a Hugging Face dataset that are learnt where nobody names one."""


@dataclass(frozen=True)
class Given:
    """Examples as arrays.

    Attributes
    ----------
    arrays : x, y, and where they are known x_test, y_test, client, and test (n,): which rows clients hold out.
    numbers : whether y are numbers also where all are whole.
    natural : whether the examples come with the clients that own them.
    """

    arrays: Mapping[str, Array]
    numbers: bool = False
    natural: bool = False


def given(found: Any, columns: Columns) -> Given:
    """Return what foreign code gave as arrays; columns are those of a table.

    Raises
    ------
    RefusedError : it is nothing that holds examples; the text says what is, and what would be allowed.
    """
    if columns != Columns() and not _is_tabular(found):
        name = next(key for key in ("label", "features", "client") if getattr(columns, key) is not None)
        raise RefusedError(
            f"`{name}` names columns of a frame or Hugging Face dataset, and this gives none; leave it out"
        )
    return _coded(_given(found, columns))


def _is_tabular(found: Any) -> bool:
    if isinstance(found, list | tuple):
        return any(map(_is_tabular, found))
    if isinstance(found, Mapping) and "x" not in found:
        return any(map(_is_tabular, found.values()))
    return is_frame(found) or is_hub(found)


def _given(found: Any, columns: Columns) -> Given:
    if isinstance(found, list):
        return _of_clients(found, columns)
    if isinstance(found, tuple):
        if len(found) == 2 and all(isinstance(part, tuple | Mapping) or is_dataset(part) for part in found):
            return _both(*(_given(part, columns) for part in found))
        if len(found) in (2, 4) and all(map(_is_arrays, found)):
            return Given({name: _array(name, part) for name, part in zip(NAMES, found, strict=False)})
        held = ", ".join(type(part).__name__ for part in found)
        raise RefusedError(f"a tuple must be (x, y), (x, y, x_test, y_test) or (train, test), got ({held})")
    if isinstance(found, Mapping):
        if "train" in found and "x" not in found:
            train = _given(found["train"], columns)
            return train if found.get("test") is None else _both(train, _given(found["test"], columns))
        tests = found.get("test")
        marks = tests is None or is_array(tests) or (isinstance(tests, list) and set(map(type, tests)) <= {bool})
        arrays = {str(n): _array(str(n), v) for n, v in found.items() if (marks or n != "test") and v is not None}
        return Given(arrays) if marks else _marked(Given(arrays, natural=True), _tests(tests, columns))
    if is_frame(found):
        return _of_frame(found, columns)
    if is_hub(found):
        return _of_hub(found, columns)
    if is_items(found):
        return _of_items(found)
    raise RefusedError(f"must give {ALLOWED}; got {type(found).__name__}")


def _is_arrays(value: Any) -> bool:
    return is_array(value) or isinstance(value, list)


def _array(name: str, value: Any) -> Array:
    try:
        return as_array(value)
    except (ValueError, TypeError) as error:
        raise RefusedError(f"{name} is no array: {' '.join(str(error).split())}") from error


def _both(train: Given, test: Given) -> Given:
    """Return examples with others as their test part."""
    named = {"x_test": test.arrays["x"], "y_test": test.arrays["y"]} if {"x", "y"} <= {*test.arrays} else test.arrays
    return replace(train, arrays={**train.arrays, **named}, numbers=train.numbers or test.numbers)


def _tests(found: Any, columns: Columns) -> tuple[Part, ...]:
    if not isinstance(found, list | tuple):
        raise RefusedError(f"test must be a list with one (x, y) for each client, got {type(found).__name__}")
    return tuple(_part(f"test[{place}]", _given(part, columns)) for place, part in enumerate(found))


def _part(name: str, part: Given) -> Part:
    lacking = [one for one in ("x", "y") if one not in part.arrays]
    if lacking:
        raise RefusedError(f"{name} lacks {' and '.join(lacking)}; it holds {', '.join(part.arrays) or 'nothing'}")
    x, y = part.arrays["x"], part.arrays["y"]
    if not x.ndim or not y.ndim or len(x) != len(y):
        raise RefusedError(f"{name}: x of shape {x.shape} and y of shape {y.shape} do not belong together")
    return x, y


def _of_clients(found: Sequence[Any], columns: Columns) -> Given:
    """Return the examples of a list of datasets, one for each client."""
    if not found:
        raise RefusedError("the list of clients' data is empty")
    for client, one in enumerate(found):
        if not (isinstance(one, tuple | Mapping) or is_dataset(one)):
            what = f"a list holds one dataset for each client, and that of client {client} is {type(one).__name__}"
            raise RefusedError(f"{what}; arrays stand in a tuple (x, y) or by name")
    every = [_given(one, replace(columns, client=None)) for one in found]
    parts = [_part(f"client {client}", one) for client, one in enumerate(every)]
    for client, (x, y) in enumerate(parts):
        if not len(x):
            raise RefusedError(f"client {client} has no examples; leave it out of the list")
        _must_fit(f"client {client}", (x, y), parts[0])
    nothing = parts[0][0][:0], parts[0][1][:0]
    tests = None
    if any("x_test" in one.arrays for one in every):
        held = [{"x": a["x_test"], "y": a["y_test"]} if {*NAMES} <= {*a} else None for a in (o.arrays for o in every)]
        tests = tuple(nothing if one is None else _part(f"client {k}", Given(one)) for k, one in enumerate(held))
    arrays = {
        "x": np.concatenate([x for x, _ in parts]),
        "y": np.concatenate([y for _, y in parts]),
        CLIENT: np.repeat(np.arange(len(parts)), [len(x) for x, _ in parts]),
    }
    whole = Given(arrays, any(one.numbers for one in every), natural=True)
    return whole if tests is None else _marked(whole, tests)


def _marked(one: Given, tests: Sequence[Part]) -> Given:
    """Return the same with the clients' own test parts among the rows, marked by `test`."""
    arrays = one.arrays
    counts = [len(x) for x, _ in tests]
    if not {"x", "y"} <= {*arrays} or not sum(counts):
        return one
    if CLIENT not in arrays:
        raise RefusedError("test is of clients, and no `client` says whose each example is")
    owners = np.unique(arrays[CLIENT])
    if len(owners) != len(tests):
        raise RefusedError(f"test holds {len(tests)} parts, and there are {len(owners)} clients")
    for place, part in enumerate(tests):
        if counts[place]:
            _must_fit(f"test[{place}]", part, (arrays["x"], arrays["y"]), "the others")
    held = [part for part, count in zip(tests, counts, strict=True) if count]
    longer = {
        "x": np.concatenate([arrays["x"], *(x for x, _ in held)]),
        "y": np.concatenate([arrays["y"], *(y for _, y in held)]),
        CLIENT: np.concatenate([arrays[CLIENT], np.repeat(owners, counts)]),
        "test": np.arange(len(arrays["y"]) + sum(counts)) >= len(arrays["y"]),
    }
    return replace(one, arrays={**arrays, **longer})


def _must_fit(name: str, part: Part, first: Part, others: str = "client 0") -> None:
    for one, mine, wanted in zip("xy", part, first, strict=True):
        if mine.shape[1:] != wanted.shape[1:]:
            text = f"an example of its {one} is {mine.shape[1:]}, of {others} {wanted.shape[1:]}"
            raise RefusedError(f"{name}: {text}")


def _of_frame(found: Any, columns: Columns) -> Given:
    if columns.label is None:
        raise RefusedError(f"a frame needs `label`, the column to learn; it has {_listed(found.columns)}")
    _must_have(list(found.columns), columns)
    arrays, numbers = arrays_of(found, columns, "the frame", lambda row: f"row {row}", "dataset")
    return Given(arrays, numbers, natural=columns.client is not None)


def _must_have(held: Sequence[Any], columns: Columns) -> None:
    for key, name in (
        ("label", columns.label),
        ("client", columns.client),
        *(("features", n) for n in columns.features or ()),
    ):
        if name is not None and name not in held:
            hint = did_you_mean(name, map(str, held)) or f"; it has {_listed(held)}"
            raise RefusedError(f"{key}: there is no column {name!r}{hint}")


def _listed(names: Any) -> str:
    listed = [str(name) for name in names]
    return ", ".join(listed[:12]) + (", ..." if len(listed) > 12 else "")


def _of_hub(found: Any, columns: Columns) -> Given:
    held = list(found.column_names)
    label = columns.label or next((name for name in LABELS if name in held), None)
    if label is None:
        raise RefusedError(f"a dataset needs `label`, the column to learn; it has {_listed(held)}")
    columns = replace(columns, label=label)
    _must_have(held, columns)
    names = list(columns.features or (name for name in held if name not in (label, columns.client)))
    wanted = [*names, label, *([columns.client] if columns.client else [])]
    rows = found.select_columns(list(dict.fromkeys(wanted))).with_format("numpy")[:]
    read = {name: np.asarray(rows[name]) for name in wanted}
    if columns.features is None and len(names) > 1:
        names = [name for name in names if read[name].dtype.kind in "fiub"]
    if not names:
        raise RefusedError(f"there is no column of numbers beside {label}; it has {_listed(held)}")
    for name in names:
        if read[name].dtype.kind not in "fiub":
            raise RefusedError(f"the column {name!r} holds no numbers, or rows of different lengths; name `features`")
        if read[name].ndim > 1 and len(names) > 1:
            raise RefusedError(f"the column {name!r} holds arrays, and stands beside others; name one as `features`")
    x = read[names[0]] if len(names) == 1 else np.stack([read[name] for name in names], axis=1).astype(np.float32)
    if type(found.features[names[0]]).__name__ == "Image" and x.ndim == 4:
        x = np.moveaxis(x, -1, 1)
    arrays = {"x": x, "y": read[label]} | ({CLIENT: read[columns.client]} if columns.client else {})
    return Given(arrays, natural=columns.client is not None)


def _of_items(found: Any) -> Given:
    """Return the examples of a torch Dataset, whose items are pairs (x, y)."""
    tensors = getattr(found, "tensors", None)
    if isinstance(tensors, tuple) and len(tensors) == 2:
        return Given({"x": as_array(tensors[0]), "y": as_array(tensors[1])})
    if not len(found):
        raise RefusedError(f"the Dataset {type(found).__name__} is empty")
    pairs: list[Part] = []
    for place in range(len(found)):
        item = found[place]
        if not isinstance(item, tuple | list) or len(item) != 2:
            count = f" of {len(item)}" if isinstance(item, tuple | list) else ""
            raise RefusedError(f"item {place} of a Dataset must be a pair (x, y), got {type(item).__name__}{count}")
        pairs.append((_array(f"x of item {place}", item[0]), _array(f"y of item {place}", item[1])))
        for name, mine, first in zip("xy", pairs[-1], pairs[0], strict=True):
            if mine.shape != first.shape:
                raise RefusedError(f"{name} of item {place} is of shape {mine.shape}, of item 0 {first.shape}")
    return Given({"x": np.stack([x for x, _ in pairs]), "y": np.stack([y for _, y in pairs])})


def _coded(one: Given) -> Given:
    """Return the same with text as targets numbered in its order, in all parts alike."""
    parts: dict[str, Array] = {name: one.arrays[name] for name in ("y", "y_test") if name in one.arrays}
    texts = [name for name, part in parts.items() if part.dtype.kind in "UT" or _is_text(part)]
    if not texts:
        return one
    if len(texts) < len(parts):
        raise RefusedError(f"{texts[0]} holds text, and {next(n for n in parts if n not in texts)} numbers")
    values = np.unique(np.concatenate([part.astype(str) for part in parts.values()]))
    coded = {name: np.searchsorted(values, part.astype(str)) for name, part in parts.items()}
    return replace(one, arrays={**one.arrays, **coded})


def _is_text(part: Array) -> bool:
    return part.dtype.hasobject and part.size > 0 and all(isinstance(value, str) for value in part.flat)
