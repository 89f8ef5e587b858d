"""Curves with bands: the mean over seeds round by round, and Student's interval around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fedsim.analysis.paired import LEVEL, t_quantile

Vector = npt.NDArray[np.float64]
Rounds = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Band:
    """A curve over rounds (T,): mean, interval and number of seeds; low and high are NaN where only one seed is."""

    rounds: Vector
    mean: Vector
    low: Vector
    high: Vector
    count: npt.NDArray[np.int64]

    def within(self, least: float, greatest: float) -> Band:
        """Return the band cut off where no value can be: an interval of an accuracy ends at 0 and at 1."""
        low, high = (np.clip(end, least, greatest) for end in (self.low, self.high))
        return replace(self, low=low, high=high)


def aligned(series: Sequence[tuple[Rounds, Vector]]) -> tuple[Rounds, Vector]:
    """Return all rounds that any series has (T,), and the values (seeds, T), NaN where a series has none.

    >>> aligned([(np.array([0, 2]), np.array([1.0, 3.0])), (np.array([0]), np.array([5.0]))])[1].tolist()
    [[1.0, 3.0], [5.0, nan]]
    """
    rounds = np.unique(np.concatenate([found for found, _ in series])) if series else np.zeros(0, np.int64)
    values = np.full((len(series), len(rounds)), np.nan)
    for row, (found, measured) in zip(values, series, strict=True):
        row[np.searchsorted(rounds, found)] = measured
    return rounds, values


def thinned(rounds: Rounds, values: Vector, places: int) -> tuple[Vector, Vector]:
    """Average each seed's values (seeds, T) over at most `places` stretches of rounds, and the rounds likewise.

    >>> thinned(np.array([1, 2, 3, 4]), np.array([[1.0, 3.0, 5.0, np.nan]]), 2)[1].tolist()
    [[2.0, 5.0]]
    """
    if len(rounds) <= places:
        return rounds.astype(np.float64), values
    starts = np.linspace(0, len(rounds), places + 1).astype(int)[:-1]
    there = np.isfinite(values)
    counts = np.add.reduceat(there, starts, axis=1, dtype=np.int64)
    sums = np.add.reduceat(np.where(there, values, 0.0), starts, axis=1)
    middles = np.add.reduceat(rounds, starts) / np.diff([*starts, len(rounds)])
    return middles, np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def band(series: Sequence[tuple[Rounds, Vector]], *, places: int | None = None, level: float = LEVEL) -> Band:
    """Return the band of one series (rounds, values) per seed; with `places`, thinned to that many.

    Values that are not finite are left out; where no seed has one there is no point.

    >>> one = (np.array([0, 1]), np.array([1.0, 1.0]))
    >>> found = band([one, (np.array([0, 1]), np.array([3.0, 1.0]))])
    >>> found.mean.tolist(), found.high.round(3).tolist()   # round 0: s = sqrt 2, t(1) = 12.706, half = 12.706
    ([2.0, 1.0], [14.706, 1.0])
    """
    rounds, values = aligned(series)
    middles, values = thinned(rounds, values, places) if places else (rounds.astype(np.float64), values)
    there = np.isfinite(values)
    count = there.sum(axis=0)
    middles, values, there, count = (array[..., count > 0] for array in (middles, values, there, count))
    kept = np.where(there, values, 0.0)
    mean = kept.sum(axis=0) / count
    squares = np.where(there, (kept - mean) ** 2, 0.0).sum(axis=0)
    several = np.maximum(count - 1, 1)
    reach = np.array([t_quantile(int(n), level) for n in count])
    half = reach * np.sqrt(squares / several / count)
    return Band(middles, mean, mean - half, mean + half, count.astype(np.int64))
