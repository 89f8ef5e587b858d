"""CIFAR's python batches: pickles, of which nothing is believed but lists, bytes, numbers and arrays of them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import ScenarioError
from fedsim.data.reading.files import read

_RECONSTRUCT = np.empty(0, np.uint8).__reduce__()[0]


def _latin1(text: str, encoding: str) -> bytes:
    """Stand in for `_codecs.encode`, as which Python 3 writes bytes for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding}")
    return text.encode("latin1")


_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("_codecs", "encode"): _latin1,
}


class _Unpickler(pickle.Unpickler):
    """Knows arrays and nothing else: a pickle that names any other class or function is refused before it is called."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what arrays are made of."""
        found = _ALLOWED.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return found


def read_batch(path: Path, label: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return images (n, 3, 32, 32) and labels (n,) of a python batch: `data` (n, 3072) and the list `label`.

    Raises
    ------
    ScenarioError : it is no such pickle, or asks for more than arrays.
    """
    try:
        content = _Unpickler(io.BytesIO(read(path)), encoding="bytes").load()
    except ScenarioError:
        raise
    except Exception as error:
        raise ScenarioError(f"data.path: {path} cannot be read as a python batch of CIFAR: {error}") from error
    held = {_word(key): value for key, value in content.items()} if isinstance(content, dict) else {}
    data, labels = held.get("data"), held.get(label)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1:] != (3 * 32 * 32,):
        raise ScenarioError(f"data.path: {path}: expected `data`, bytes of shape (n, 3072); it holds {sorted(held)}")
    if not isinstance(labels, list) or len(labels) != len(data) or not all(type(one) is int for one in labels):
        raise ScenarioError(f"data.path: {path}: expected `{label}`, a list of {len(data)} whole numbers")
    return data.reshape(-1, 3, 32, 32), np.array(labels, np.int64)


def _word(key: object) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)
