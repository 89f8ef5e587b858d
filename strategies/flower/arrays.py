"""Flower arrays that are views of numpy arrays: encoded only if somebody looks at their bytes."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord
from flwr.common.constant import SType

_NUMPY = str(SType.NUMPY)


@cache
def _word(dtype: np.dtype[Any]) -> str:
    """Return a dtype as Flower writes it; numpy takes microseconds to spell one."""
    return str(dtype)


class ArrayView(Array):
    """A Flower `Array` around a numpy array, without a copy.

    Inside one process, and through Ray (which ships numpy buffers out of band), nothing is serialised; Flower's own
    transports read `data` and get the usual `.npy` bytes.
    """

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self.__dict__.update(dtype=_word(values.dtype), shape=values.shape, stype=_NUMPY, _values=values)

    @property
    def data(self) -> bytes:  # type: ignore[override]  # the base class stores what is computed here
        """The `.npy` bytes."""
        buffer = BytesIO()
        np.save(buffer, self.__dict__["_values"], allow_pickle=False)
        return buffer.getvalue()

    def numpy(self) -> npt.NDArray[Any]:
        """Return the array itself."""
        values: npt.NDArray[Any] = self.__dict__["_values"]
        return values

    def deflate(self) -> bytes:
        """Return what Flower's network transport sends, under the name of the class that it knows."""
        return b"Array" + super().deflate().removeprefix(type(self).__qualname__.encode())

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrayView, (self.__dict__["_values"],)


def record(**values: npt.NDArray[Any]) -> ArrayRecord:
    """Return an `ArrayRecord` of views (set one by one: its constructor would copy them into bytes)."""
    made = ArrayRecord()
    for name, value in values.items():
        made[name] = ArrayView(value)
    return made
