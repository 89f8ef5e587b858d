"""The softmax of several lanes at once, each with the bits that it has alone.

torch computes a log-softmax over the first axis in whole vectors of the processor; what is left over at the end of a
lane, fewer examples than a vector holds, goes through another exponential, whose last bit may differ. Where lanes are
laid one after the other, what was left over in each goes through that other one again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedsim.task.losses.cross_entropy import CrossEntropy

Integers = npt.NDArray[np.int64]
WIDTHS = (16, 8, 4)
"""How many float32 a vector holds, by processor."""


@dataclass(frozen=True, kw_only=True)
class CrossEntropyOfLanes(CrossEntropy):
    """Cross-entropy over A clients of several lanes; `left_over` (T,) are the examples at the lanes' ends."""

    left_over: Any
    vector: int

    def log_softmax(self, front: Tensor) -> Tensor:
        """Return the log-softmax of logits (C, A, B) over their classes, as each lane alone has it."""
        return log_softmax(front, self.left_over, self.vector)


def log_softmax(front: Tensor, left_over: Tensor, vector: int) -> Tensor:
    """Return the log-softmax of logits (C, A, B) over their first axis.

    The examples `left_over`, places in A * B, are computed as what is left over, all others in whole vectors.
    """
    classes, clients, broad = front.shape
    count = clients * broad
    whole = front.new_zeros((classes, count + -count % vector))
    whole[:, :count].view(classes, clients, broad).copy_(front)
    logs = torch.log_softmax(whole, dim=0)
    if len(left_over):
        single = whole.index_select(1, left_over).t().contiguous().unsqueeze(2)
        logs.index_copy_(1, left_over, torch.log_softmax(single, dim=1).squeeze(2).t())
    return logs[:, :count].view(classes, clients, broad)


def left_over(lanes: Integers, broad: int, vector: int) -> Integers:
    """Return the places in A * B that are left over: the last (clients * broad) mod `vector` of each lane.

    `lanes` (A,) says which lane each row belongs to; a lane's rows need not lie together, but in their order.

    >>> left_over(np.array([0, 0, 1]), 3, 4).tolist()
    [4, 5, 6, 7, 8]
    """
    order = np.argsort(lanes, kind="stable")
    counts = np.bincount(lanes)
    ends = np.cumsum(counts)[lanes[order]]
    behind = np.empty(len(lanes), np.int64)
    behind[order] = ends - 1 - np.arange(len(lanes))
    cells = np.clip((counts * broad % vector)[lanes] - behind * broad, 0, broad)
    rows = np.repeat(np.arange(len(lanes)), cells)
    from_end = np.arange(len(rows)) - np.repeat(np.cumsum(cells) - cells, cells)
    places: Integers = (rows + 1) * broad - np.repeat(cells, cells) + from_end
    return places


@cache
def vector() -> int | None:
    """Return how many float32 torch's softmax takes at a time; None where lanes together do not equal lanes alone."""
    return next((width for width in WIDTHS if _equal(width)), None)


def _equal(width: int) -> bool:
    """Return whether lanes together have the bits of lanes alone, over many compositions of random logits."""
    stream = torch.Generator().manual_seed(0)
    for classes, sizes in ((2, (5, 1, 40)), (10, (7, 16, 3, 33)), (10, (160, 9, 31, 2, 250)), (62, (100, 5))):
        if not _same(torch.randn((classes, sum(sizes), 1), generator=stream).mul_(3), sizes, width):
            return False
    return True


def _same(front: Tensor, sizes: Sequence[int], width: int) -> bool:
    lanes = np.repeat(np.arange(len(sizes)), sizes)
    together = log_softmax(front, torch.from_numpy(left_over(lanes, 1, width)), width)
    parts = torch.split(front, list(sizes), dim=1)
    return torch.equal(together, torch.cat([torch.log_softmax(part.contiguous(), dim=0) for part in parts], dim=1))
