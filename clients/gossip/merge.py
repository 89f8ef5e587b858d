"""The merge of gossip: average models with mixing weights and give each tensor back the variance that averaging took.

Tian, Al-Ars, Kitsak, Hofstee, "Vanishing variance problem in fully decentralized neural-network systems",
arXiv 2404.04616. For each weight tensor separately, over its own entries, with mixing weights m_j (sum 1):

    a = sum_j m_j w_j        s2 = sum_j m_j var(w_j)        f = sqrt(s2 / var(a))        out = (a - mean(a)) f + mean(a)

Means and variances of the w_j come with the models: their owner forms them once. As mean(a) = sum_j m_j mean(w_j) is
known before a is, one pass over the entries gives a, its variance and the result. All in float64, cast once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import Layout
from fedsim.core.contracts import Vector

Models = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

VANISHED = 1e-12
"""Below this share of the target the average has no variance that could be restored (A and -A)."""
SAME = 1e-12
"""Variances this close are equal: identical models must come out bit for bit, and rounding must not move them."""
NOISE = 1e-28
"""A variance below this share of the squared mean is what rounding leaves of equal entries: zero."""
_GROUP_ENTRIES = 1 << 17
"""Entries merged at a time: a megabyte of float64, which a core's cache holds."""


@dataclass(frozen=True)
class Tensors:
    """The tensors of a flat vector (d + b,) whose variance matters, never its buffers: L slices by name."""

    names: tuple[str, ...]
    slices: tuple[slice, ...]
    size: int

    @staticmethod
    def of(layout: Layout, which: str) -> Tensors:
        """Choose `weights` (two dimensions or more) or `all` tensors of a layout."""
        starts = layout.offsets
        chosen = [k for k, shape in enumerate(layout.shapes) if which == "all" or len(shape) >= 2]
        return Tensors(
            tuple(layout.names[k] for k in chosen), tuple(slice(starts[k], starts[k + 1]) for k in chosen), layout.total
        )

    @property
    def group(self) -> int:
        """Models handled at a time."""
        return max(1, _GROUP_ENTRIES // max(1, self.size))


@dataclass(frozen=True)
class TensorMoments:
    """Mean and variance of each tensor of some models, (n, L) each."""

    means: Matrix
    variances: Matrix


def moments(models: Models, tensors: Tensors) -> TensorMoments:
    """Return the moments of models (n, d), in two passes; a variance below the rounding of its mean is zero."""
    means = np.zeros((len(models), len(tensors.slices)))
    variances = np.zeros_like(means)
    for first in range(0, len(models), tensors.group):
        here = slice(first, first + tensors.group)
        for k, part in enumerate(tensors.slices):
            wide = models[here, part].astype(np.float64)
            means[here, k] = np.add.reduce(wide, axis=1) / wide.shape[1]
            wide -= means[here, k, None]
            variances[here, k] = np.einsum("ij,ij->i", wide, wide) / wide.shape[1]
    variances[variances <= NOISE * means**2] = 0.0
    return TensorMoments(means, variances)


@dataclass(frozen=True)
class Row:
    """What one client merges: models (K of (d,)), their moments (K, L), their weights in average and target (K,)."""

    models: Sequence[Models]
    means: Matrix
    variances: Matrix
    weights: Vector
    targets: Vector


@dataclass(frozen=True)
class Merged:
    """What merges came to, (n, L) each.

    Attributes
    ----------
    before, after : variance of the average, and of the result.
    factors : f; 1 where nothing was to restore, also when the correction is off (then what it would have been).
    vanished : tensors whose average had no variance left, and stayed as it was.
    """

    before: Matrix
    after: Matrix
    factors: Matrix
    vanished: npt.NDArray[np.bool_]


def merge(rows: Sequence[Row], out: Models, tensors: Tensors, *, correct: bool) -> Merged:
    """Merge each row into `out` (n, d); with `correct` the variance is restored, without it only looked at.

    A row whose whole weight is on one model copies it. A tensor whose target is zero, or whose average has no
    variance left, keeps the average.
    """
    shape = (len(rows), len(tensors.slices))
    result = np.zeros(shape), np.zeros(shape), np.ones(shape), np.zeros(shape, bool)
    most = max((len(row.models) for row in rows), default=0)
    wide = np.empty((most, tensors.size))
    averages = np.empty((min(tensors.group, len(rows)), tensors.size))
    for first in range(0, len(rows), tensors.group):
        group = rows[first : first + tensors.group]
        for place, row in enumerate(group):
            _average(row, wide, averages[place])
        here = slice(first, first + len(group))
        means = np.array([np.einsum("i,il->l", row.weights, row.means) for row in group])
        targets = np.array([np.einsum("i,il->l", row.targets, row.variances) for row in group])
        copied = np.array([bool((row.weights == 1.0).any()) for row in group])
        for k, part in enumerate(tensors.slices):
            tensor = averages[: len(group), part]
            found = _restore(tensor, means[:, k], targets[:, k], copied, correct=correct)
            for kept, values in zip(result, found, strict=True):
                kept[here, k] = values
        out[here] = averages[: len(group)]
    return Merged(*result)


def _average(row: Row, wide: Matrix, average: Vector) -> None:
    """Write sum_j m_j w_j, in the order of the row."""
    whole = np.flatnonzero(row.weights == 1.0)
    if len(whole):
        average[:] = row.models[whole[0]]
        return
    for place, model in enumerate(row.models):
        wide[place] = model
    np.einsum("i,ij->j", row.weights, wide[: len(row.models)], out=average)


def _restore(
    averages: Matrix, mean: Vector, target: Vector, copied: npt.NDArray[np.bool_], *, correct: bool
) -> tuple[npt.NDArray[Any], ...]:
    """Measure, and with `correct` restore in place, one tensor of some averages (n, size); return `Merged`'s parts."""
    centred = averages - mean[:, None]
    found = np.einsum("ij,ij->i", centred, centred) / averages.shape[1]
    found[found <= NOISE * mean**2] = 0.0
    vanished = (target > 0) & (found <= VANISHED * target) & ~copied
    # the mean's rounding moves a variance by up to mean * standard deviation * 1e-16 and a few
    same = np.abs(target - found) <= SAME * found + 1e-14 * np.abs(mean) * np.sqrt(found)
    moved = (target > 0) & ~vanished & ~same & ~copied
    factor = np.sqrt(np.divide(target, found, out=np.ones(len(found)), where=moved))
    if correct and moved.any():
        centred *= factor[:, None]
        centred += mean[:, None]
        averages[moved] = centred[moved]
    return found, np.where(moved, target, found) if correct else found, factor, vanished
