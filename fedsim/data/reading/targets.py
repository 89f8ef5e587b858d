"""What targets are meant as: labels, rows of classes, or numbers; told from the values alone.

Whole numbers, also where they are stored as floats, are labels: sorted and renumbered from 0. Anything else is a number
to be learnt. Rows of whole numbers from 0 on (several yes or no, tokens) stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import Examples, ScenarioError
from fedsim.core.data import Answers
from fedsim.data.partitioned import Partitioned

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
LARGEST_WHOLE = 2.0**53


@dataclass(frozen=True)
class Meant:
    """Targets as they are learnt.

    Attributes
    ----------
    y, y_test : (n, ...), int64 for classes, float32 for numbers.
    classes : C; 0 for numbers.
    values : (C,) what label k stood for, where labels were renumbered.
    """

    y: Answers
    y_test: Answers | None
    classes: int
    values: Ints | None = None

    @property
    def labels(self) -> bool:
        """Whether each example has one label."""
        return self.classes > 0 and self.y.ndim == 1


def meant(source: str, y: Array, y_test: Array | None, *, numbers: bool = False) -> Meant:
    """Return what the targets of training and test examples are meant as, by both together; `numbers`: as numbers.

    Raises
    ------
    ScenarioError : for NaN, and for numbers that float32 cannot hold.
    """
    parts = {"y": _column(y)} | ({} if y_test is None else {"y_test": _column(y_test)})
    for name, part in parts.items():
        _must_be_finite(source, name, part)
    first, *others = parts.values()
    test = others[0] if others else None
    if not numbers and all(map(_whole, parts.values())):
        whole = [part.astype(np.int64) for part in parts.values()]
        if first.ndim == 1:
            values = np.unique(np.concatenate(whole))
            numbered = [np.searchsorted(values, part).astype(np.int64) for part in whole]
            return Meant(numbered[0], numbered[1] if others else None, len(values), values)
        if min(int(part.min(initial=0)) for part in whole) >= 0:
            classes = 1 + max(int(part.max(initial=0)) for part in whole)
            return Meant(whole[0], whole[1] if others else None, classes)
    return Meant(first.astype(np.float32), None if test is None else test.astype(np.float32), 0)


def as_numbers(data: Partitioned) -> Partitioned:
    """Return the same examples with labels as the numbers that they stood for, float32."""
    if data.values is None:
        return data
    values = data.values.astype(np.float32)
    y = values[data.y]
    test = None if data.test is None else Examples(data.test.x, values[data.test.y])
    for array in (y, *(() if test is None else (test.y,))):
        array.setflags(write=False)
    return replace(data, y=y, test=test, num_classes=0, values=None)


def _column(y: Array) -> Array:
    """Return targets of shape (n, 1) as (n,)."""
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _whole(y: Array) -> bool:
    return y.dtype.kind != "f" or bool(((np.floor(y) == y) & (np.abs(y) <= LARGEST_WHOLE)).all())


def _must_be_finite(source: str, name: str, y: Array) -> None:
    if y.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):  # too large for float32 is infinite
        broken = ~np.isfinite(y.astype(np.float32)).reshape(len(y), -1).all(axis=1)
    if broken.any():
        row = int(np.flatnonzero(broken)[0])
        text = f"{name} should be integer labels or numbers that float32 holds, got {y[row]} in row {row}"
        raise ScenarioError(f"data.path: {source}: {text}")
