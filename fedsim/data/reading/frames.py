"""Tables: from the columns of a pandas frame to arrays, with errors that name column and row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedsim.core import ScenarioError

if TYPE_CHECKING:
    import pandas as pd

CLIENT = "client"
"""What the column that says whose each row is, is called among the arrays."""


@dataclass(frozen=True)
class Columns:
    """Which column is learnt, from which others, and which says whose each row is."""

    label: str | None = None
    features: tuple[str, ...] | None = None
    client: str | None = None


def arrays_of(
    frame: pd.DataFrame, columns: Columns, source: str, where: Callable[[int], str], key: str = "path"
) -> tuple[dict[str, Any], bool]:
    """Return x, y and `client` of a frame that has the columns, and whether y are numbers to learn.

    Text is left as text. `source` is what messages call the frame, `where` tells the place of a row, and `key` is where
    it was named.

    Raises
    ------
    ScenarioError : for features that are no numbers, and for missing values.
    """
    assert columns.label is not None
    y, numbers = _label(frame[columns.label], source, where)
    arrays: dict[str, Any] = {"x": _features(frame, columns, source, where, key), "y": y}
    if columns.client is not None:
        arrays[CLIENT] = _owners(frame[columns.client], source, where)
    return arrays, numbers


def _features(frame: pd.DataFrame, columns: Columns, source: str, where: Callable[[int], str], named: str) -> Any:
    others = [name for name in frame.columns if name not in (columns.label, columns.client)]
    names = list(columns.features or (name for name in others if _is_number(frame[name])))
    if not names:
        raise ScenarioError(f"data.features: {source} has no column of numbers beside {columns.label}")
    for place, name in enumerate(names):
        key = named if columns.features is None else f"features.{place}"
        if not _is_number(frame[name]):
            row, value = _first_text(frame[name])
            text = f"the column {name!r} of {source} holds text, first {value!r} in {where(row)}"
            raise ScenarioError(f"data.{key}: {text}")
        _must_be_whole(frame[name], source, where, key)
    return frame[names].to_numpy(np.float32)


def _label(column: pd.Series[Any], source: str, where: Callable[[int], str]) -> tuple[Any, bool]:
    """Return the targets, and whether they are numbers to learn."""
    _must_be_whole(column, source, where, "label")
    if _is_number(column):
        return column.to_numpy(), column.dtype.kind == "f"
    return column.astype(str).to_numpy(str), False


def _owners(column: pd.Series[Any], source: str, where: Callable[[int], str]) -> Any:
    _must_be_whole(column, source, where, "client")
    return column.to_numpy() if _is_number(column) else column.astype(str).to_numpy(str)


def _is_number(column: pd.Series[Any]) -> bool:
    from pandas.api.types import is_numeric_dtype

    return bool(is_numeric_dtype(column.dtype)) and column.dtype.kind != "c"


def _must_be_whole(column: pd.Series[Any], source: str, where: Callable[[int], str], key: str) -> None:
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        text = f"has {len(missing)} missing values, the first in {where(int(missing[0]))}; fill them or leave it out"
        raise ScenarioError(f"data.{key}: the column {column.name!r} of {source} {text}")


def _first_text(column: pd.Series[Any]) -> tuple[int, Any]:
    from pandas import to_numeric

    wrong = np.flatnonzero((to_numeric(column, errors="coerce").isna() & column.notna()).to_numpy())
    place = int(wrong[0]) if len(wrong) else 0
    return place, column.iloc[place]
