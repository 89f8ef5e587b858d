"""Where a kernel's examples come from: gathered on the host, or out of a pool that lives on the GPU."""

from __future__ import annotations

from math import prod
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clients.kernels.tensors import fresh
from fedsim.core import CapacityError, ClientData
from fedsim.core.contracts import Ids
from fedsim.data import Partitioned


class Source(Protocol):
    """Gives the examples of some clients as tensors on the device, each call in allocations of its own."""

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Examples of each client, (N,)."""

    @property
    def example_bytes(self) -> int:
        """Bytes of one example's features as float32."""

    def rows(self, clients: Ids, positions: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return x (C, B, *input_shape) and y (C, B) for positions (C, B) inside each client (C,)."""


def source(data: ClientData, device: torch.device) -> Source:
    """Choose: pooled examples live on the GPU that trains; everything else is gathered where the data is."""
    if device.type == "cuda" and isinstance(data, Partitioned):
        try:
            return Resident(data, device)
        except torch.OutOfMemoryError as error:
            raise CapacityError(f"the data ({data.nbytes} bytes) does not fit on {device}") from error
    return Gathered(data, device)


class Gathered:
    """Gathers on the host and copies what was gathered to the device."""

    def __init__(self, data: ClientData, device: torch.device) -> None:
        self._data, self._device = data, device
        self.counts = data.num_examples
        self.example_bytes = 4 * prod(data.input_shape)

    def rows(self, clients: Ids, positions: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the examples; see `Source.rows`."""
        examples = self._data.rows(clients, positions)
        return fresh(examples.x, self._device), fresh(examples.y, self._device)


class Resident:
    """Holds the whole pool on the device: only indices travel. Equal to `Gathered` bit for bit."""

    def __init__(self, data: Partitioned, device: torch.device) -> None:
        self._x, self._y = fresh(data.x, device), fresh(data.y, device)
        self._order, self._offsets, self._divisor = data.order, data.offsets, data.divisor
        self._device = device
        self.counts = data.num_examples
        self.example_bytes = 4 * prod(data.input_shape)

    def rows(self, clients: Ids, positions: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the examples; see `Source.rows`."""
        starts, ends = self._offsets[clients], self._offsets[clients + 1]
        index = fresh(self._order[np.minimum(positions + starts[:, None], ends[:, None] - 1)], self._device)
        x = self._x[index].float()
        return x if self._divisor == 1.0 else x.div_(self._divisor), self._y[index]
