"""Brings the examples of a lane's batches onto the device, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clients.batches import Batches
from clients.kernels.tensors import fresh
from fedsim.core import ClientData
from fedsim.core.contracts import Ids

_GATHER_BYTES = 1 << 22
"""Features gathered in one call: enough to make calls rare, little enough to stay in cache."""


@dataclass(frozen=True)
class Step:
    """One step of a lane: the batches of its first A clients, those that have not finished.

    Attributes
    ----------
    x : (A, B, *input_shape) features.
    y : (A, B) labels.
    sizes : (A,) examples in each batch, at most B; the rows beyond are some valid examples, to be masked.
    """

    x: Tensor
    y: Tensor
    sizes: npt.NDArray[np.int64]


def steps(data: ClientData, clients: Ids, batches: Batches, device: torch.device) -> Iterator[Step]:
    """Yield the steps of a lane whose clients are sorted by their number of steps, most first."""
    if not batches.sizes.size:
        return
    active = np.count_nonzero(batches.sizes, axis=0)
    width = batches.sizes.max(axis=0)
    total, broad = batches.positions.shape[1:]
    chunk = max(1, _GATHER_BYTES // max(1, len(clients) * broad * prod(data.input_shape) * 4))
    for first in range(0, total, chunk):
        here, count = active[first], min(chunk, total - first)
        examples = data.rows(clients[:here], batches.positions[:here, first : first + count].reshape(here, -1))
        x, y = fresh(examples.x, device), fresh(examples.y, device)
        for k in range(count):
            rows, columns = slice(0, int(active[first + k])), slice(k * broad, k * broad + int(width[first + k]))
            yield Step(x[rows, columns], y[rows, columns], batches.sizes[rows, first + k])
