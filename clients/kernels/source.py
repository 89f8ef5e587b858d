"""Where a kernel's examples come from: gathered on the host, or out of a pool that lives on the GPU."""

from __future__ import annotations

from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedsim.clients.kernels.tensors import fresh, shared
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

    @property
    def black(self) -> Tensor | None:
        """What a feature of 0 became in each channel (c, 1, ...); None where it stayed 0."""

    @property
    def key(self) -> Any:
        """Whose examples these are: sources of the same data have the same one."""

    def rows(self, clients: Ids, positions: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return x (C, B, *input_shape) and y (C, B, *target_shape) for positions (C, B) inside each client (C,)."""


def source(data: ClientData, device: torch.device) -> Source:
    """Choose: pooled examples are gathered by torch where it trains; all others by the data itself, on the host."""
    if not isinstance(data, Partitioned):
        return Gathered(data, device)
    try:
        return Pooled(data, device)
    except torch.OutOfMemoryError as error:
        raise CapacityError(f"the data ({data.nbytes} bytes) does not fit on {device}") from error


class Gathered:
    """Gathers on the host and copies what was gathered to the device."""

    def __init__(self, data: ClientData, device: torch.device) -> None:
        self._data, self._device = data, device
        self.black: Tensor | None = None
        self.key = id(data)
        self.counts = data.num_examples
        self.example_bytes = 4 * prod(data.input_shape)

    def rows(self, clients: Ids, positions: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the examples; see `Source.rows`."""
        examples = self._data.rows(clients, positions)
        return fresh(examples.x, self._device), fresh(examples.y, self._device)


class Pooled:
    """Gathers out of a pool on the device; on the host the pool is the data itself. Equal to `Gathered` bit for bit."""

    def __init__(self, data: Partitioned, device: torch.device) -> None:
        self._x, self._y = shared(data.x, device), shared(data.y, device)
        self._order, self._offsets, self._divisor = data.order, data.offsets, data.divisor
        self._statistics, self.black = None, None
        if data.mean is not None and data.std is not None:
            self._statistics = fresh(data.mean, device), fresh(data.std, device)
            self.black = -self._statistics[0] / self._statistics[1]
        self.key = id(data)
        self._device = device
        self.counts = data.num_examples
        self.example_bytes = 4 * prod(data.input_shape)

    def rows(self, clients: Ids, positions: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the examples; see `Source.rows`."""
        starts, last = self._offsets[clients], self._offsets[clients + 1] - 1
        places = np.minimum(positions + starts[:, None], last[:, None])
        index = torch.from_numpy(self._order[places].reshape(-1)).to(self._device)
        x = self._x.index_select(0, index).view(*positions.shape, *self._x.shape[1:])
        y = self._y.index_select(0, index).view(*positions.shape, *self._y.shape[1:])
        if x.dtype == torch.int64:  # tokens
            return x, y
        x = x.float() if self._divisor == 1.0 else x.float().div_(self._divisor)
        if self._statistics is None:
            return x, y
        mean, std = self._statistics
        return x.sub_(mean).div_(std), y
