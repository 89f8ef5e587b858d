"""Brings the examples of a lane's batches onto the device, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedsim.clients.augment import Augment
from fedsim.clients.batches import Batches
from fedsim.clients.kernels.source import Source
from fedsim.clients.kernels.tensors import fresh
from fedsim.core.contracts import Ids

_GATHER_BYTES = 1 << 22
"""Features gathered in one call: enough to make calls rare, little enough to stay in cache."""


@dataclass(frozen=True)
class Step:
    """One step of a lane: the batches of its first A clients, those that have not finished.

    Attributes
    ----------
    x : (A, B, *input_shape) features.
    y : (A, B, *target_shape) targets.
    scale : (A, B) float32, 1/size for the examples of a batch of that size, 0 for the rows that only fill up; or
        (1, B) when it is the same for all.
    """

    x: Tensor
    y: Tensor
    scale: Tensor


def steps(
    source: Source, clients: Ids, batches: Batches, device: torch.device, augment: Augment | None = None
) -> Iterator[Step]:
    """Yield the steps of a lane whose clients are sorted by their number of steps, most first."""
    cuts, many = batches.cuts, len(clients) if batches.cuts.alike else 1
    broad = batches.positions.shape[2]
    chunk = max(1, _GATHER_BYTES // max(1, len(clients) * broad * source.example_bytes))
    for first in range(0, len(cuts.active), chunk):
        active = cuts.active[first : first + chunk]
        here, part = active[0] * many, slice(first, first + len(active))
        x, y = _rows(source, clients[:here], first, batches.positions[:here, part], augment)
        scale = fresh(cuts.scale[: active[0], part], device)
        for k, count in enumerate(active):
            rows, width = count * many, cuts.widths[first + k]
            columns = slice(k * broad, k * broad + width)
            yield Step(x[:rows, columns], y[:rows, columns], scale[:count, k, :width])


def alone(
    source: Source, client: Ids, batches: Batches, place: int, augment: Augment | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of one client (1,), x (B, *input_shape), y (B, *target_shape); `place` is its row in `batches`.

    Each is an allocation of its own, so that its alignment does not depend on the clients before it.
    """
    sizes = batches.cuts.of(place)
    broad = batches.positions.shape[2]
    chunk = max(1, _GATHER_BYTES // max(1, broad * source.example_bytes))
    for first in range(0, len(sizes), chunk):
        here = sizes[first : first + chunk]
        x, y = _rows(source, client, first, batches.positions[place : place + 1, first : first + len(here)], augment)
        for k, size in enumerate(here):
            rows = slice(k * broad, k * broad + size)
            yield x[0, rows].clone(), y[0, rows].clone()


def _rows(
    source: Source, clients: Ids, first: int, positions: npt.NDArray[np.int64], augment: Augment | None
) -> tuple[Tensor, Tensor]:
    """Return x (A, K * B, ...) and y of steps `first`, `first` + 1, ... with positions (A, K, B), augmented."""
    x, y = source.rows(clients, positions.reshape(len(clients), -1))
    if augment is None:
        return x, y
    images = x.view(*positions.shape, *x.shape[2:])
    return augment.apply(images, clients, first, positions, source.black).view(x.shape), y
