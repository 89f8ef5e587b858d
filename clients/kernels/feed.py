"""Brings the examples of a lane's batches onto the device, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clients.batches import Batches
from clients.kernels.source import Source
from clients.kernels.tensors import fresh
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
    scale : (A, B) float32, 1/size for the examples of a batch of that size, 0 for the rows that only fill up; or
        (1, B) when it is the same for all.
    """

    x: Tensor
    y: Tensor
    scale: Tensor


def steps(source: Source, clients: Ids, batches: Batches, device: torch.device) -> Iterator[Step]:
    """Yield the steps of a lane whose clients are sorted by their number of steps, most first."""
    active = np.count_nonzero(batches.sizes, axis=0) * (len(clients) if batches.alike else 1)
    total = np.count_nonzero(active)
    if not total:
        return
    width = batches.sizes.max(axis=0)
    broad = batches.positions.shape[2]
    chunk = max(1, _GATHER_BYTES // max(1, len(clients) * broad * source.example_bytes))
    for first in range(0, total, chunk):
        here, count = active[first], min(chunk, total - first)
        part = slice(first, first + count)
        x, y = source.rows(clients[:here], batches.positions[:here, part].reshape(here, -1))
        scale = fresh(_scale(batches.sizes[:here, part], broad), device)
        for k in range(count):
            rows, columns = slice(0, int(active[first + k])), slice(k * broad, k * broad + int(width[first + k]))
            yield Step(x[rows, columns], y[rows, columns], scale[rows, columns])


def alone(source: Source, client: Ids, batches: Batches, place: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches (x (B, *input_shape), y (B,)) of one client (1,), whose row in `batches` is `place`.

    Each is an allocation of its own, so that its alignment does not depend on the clients before it.
    """
    sizes = [int(size) for size in batches.sizes[0 if batches.alike else place] if size]
    broad = batches.positions.shape[2]
    chunk = max(1, _GATHER_BYTES // max(1, broad * source.example_bytes))
    for first in range(0, len(sizes), chunk):
        here = sizes[first : first + chunk]
        positions = batches.positions[place, first : first + len(here)]
        x, y = source.rows(client, positions.reshape(1, -1))
        for k, size in enumerate(here):
            rows = slice(k * broad, k * broad + size)
            yield x[0, rows].clone(), y[0, rows].clone()


def _scale(sizes: npt.NDArray[np.int64], broad: int) -> npt.NDArray[np.float32]:
    """Return 1/size for the first `size` of `broad` places and 0 for the rest: sizes (A, K) -> (A, K * broad)."""
    inside = np.arange(broad) < sizes[:, :, None]
    return np.divide(inside, np.maximum(sizes, 1)[:, :, None], dtype=np.float32).reshape(len(sizes), -1)
