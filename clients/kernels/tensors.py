"""Copies between numpy and torch that keep bits and do not wait."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_DTYPES = {np.dtype(np.float32): torch.float32, np.dtype(np.int64): torch.int64, np.dtype(np.uint8): torch.uint8}


def fresh(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Copy a float32, int64 or uint8 array into a new torch allocation on the device.

    Matrix products depend on the alignment of their operands, and an array out of a message may lie anywhere (and be
    read-only): torch's own allocations are aligned. To a GPU the copy goes through pinned memory, without waiting.
    """
    if device.type == "cpu" and array.flags.carray:
        return torch.from_numpy(array).clone()
    host = torch.empty(array.shape, dtype=_DTYPES[array.dtype], pin_memory=device.type == "cuda")
    np.copyto(host.numpy(), array)
    return host.to(device, non_blocking=True)


def shared(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor to be read only: the same memory on the host, a copy on a GPU."""
    if device.type != "cpu":
        return fresh(array, device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that it could write to a read-only array
        return torch.from_numpy(array)


class Buffer:
    """A float32 matrix of `width` columns that is kept between rounds and grows to the longest lane seen."""

    def __init__(self, width: int, device: torch.device) -> None:
        self._width = width
        self._device = device
        self._rows = torch.empty((0, width), device=device)

    def rows(self, count: int) -> Tensor:
        """Return the first `count` rows, whatever they hold."""
        if count > len(self._rows):
            self._rows = torch.empty((count, self._width), device=self._device)
        return self._rows[:count]
