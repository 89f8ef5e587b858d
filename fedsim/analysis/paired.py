"""Statistics of a comparison: intervals over seeds, paired differences, and the round at which a target is reached.

Runs of one seed see the same data, the same first parameters and the same absences, so two strategies are compared by
the differences *within* seeds (common random numbers): what the seeds have in common cancels. Intervals are Student's
(Gosset 1908), p-values those of the two-sided paired t-test, adjusted for many strategies by Holm (1979).

Everywhere a value that is not finite stands for a run that has none (it failed, or diverged); `count` says how many
values were left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, nan, sqrt

import numpy as np
import numpy.typing as npt

Values = Sequence[float] | npt.NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over `count` seeds with its confidence interval; NaN where there are too few values to tell."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def half(self) -> float:
        """Half the width: mean plus or minus this."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Difference(Interval):
    """A mean difference to the baseline within seeds, its interval, and the paired t-test's two-sided p-value."""

    p_value: float

    @property
    def verdict(self) -> str:
        """Return "above", "below", or "" when the interval holds zero (or there is none)."""
        return "above" if self.low > 0 else "below" if self.high < 0 else ""


def t_quantile(count: int, level: float = LEVEL) -> float:
    """Return how many standard errors the interval of `count` values reaches to each side.

    >>> round(t_quantile(5), 3)
    2.776
    """
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 0.5 + level / 2)) if count > 1 else nan


def t_interval(values: Values, level: float = LEVEL) -> Interval:
    """Return the mean of independent values and Student's interval, mean +- t s / sqrt(n).

    >>> found = t_interval([1.0, 2.0, 3.0])   # s = 1, t(2) = 4.303, 4.303 / sqrt(3) = 2.484
    >>> found.mean, round(found.half, 3), found.count
    (2.0, 2.484, 3)
    """
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[np.isfinite(kept)]
    count = len(kept)
    if count == 0:
        return Interval(nan, nan, nan, 0)
    mean = float(kept.mean())
    if count == 1:
        return Interval(mean, nan, nan, 1)
    half = t_quantile(count, level) * float(kept.std(ddof=1)) / sqrt(count)
    return Interval(mean, mean - half, mean + half, count)


def paired_difference(values: Values, baseline: Values, level: float = LEVEL) -> Difference:
    """Return the mean of values - baseline over the seeds that have both, entry i of each belonging to one seed.

    >>> found = paired_difference([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])   # differences 1, 2, 3
    >>> found.mean, round(found.half, 3), round(found.p_value, 4)   # t = 2 / (1 / sqrt(3)) = 3.464 on 2 degrees
    (2.0, 2.484, 0.0742)
    """
    ours, theirs = np.asarray(values, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    assert ours.shape == theirs.shape, "one value of each for every seed"
    both = np.isfinite(ours) & np.isfinite(theirs)
    differences = ours[both] - theirs[both]
    found = t_interval(differences, level)
    return Difference(found.mean, found.low, found.high, found.count, _p_value(differences))


def _p_value(differences: npt.NDArray[np.float64]) -> float:
    """Return the two-sided p-value of mean zero."""
    from scipy.special import stdtr

    count = len(differences)
    if count < 2:
        return nan
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    if spread == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(count - 1, -abs(mean) / (spread / sqrt(count))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of several comparisons so that 5 % is the chance of any false alarm; NaN stays and counts none.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted((k for k, p in enumerate(p_values) if p == p), key=lambda k: p_values[k])
    adjusted = [nan] * len(p_values)
    largest = 0.0
    for place, k in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[k]))
        adjusted[k] = largest
    return adjusted


@dataclass(frozen=True)
class Reached:
    """The first evaluated round at the target; censored: it was not reached by `round`, the last one looked at."""

    round: int
    censored: bool = False

    def __str__(self) -> str:
        return f">{self.round}" if self.censored else str(self.round)


def rounds_to_target(rounds: Sequence[int], values: Values, target: float, *, higher: bool) -> Reached:
    """Return the first round whose value is at least (`higher`) or at most the target.

    >>> str(rounds_to_target([0, 10, 20], [0.1, 0.5, 0.7], 0.5, higher=True))
    '10'
    >>> str(rounds_to_target([0, 10, 20], [0.1, 0.5, 0.7], 0.9, higher=True))
    '>20'
    """
    for round, value in zip(rounds, values, strict=True):
        if value >= target if higher else value <= target:
            return Reached(int(round))
    return Reached(int(rounds[-1]) if len(rounds) else 0, censored=True)


def log_rank(found: Sequence[Reached], baseline: Sequence[Reached]) -> float:
    """Return the two-sided p-value of the log-rank test (Mantel 1966) that both reach the target equally soon.

    It counts a seed that never got there as followed until its last round, and no longer. NaN where there is nothing
    to compare: fewer than two seeds, or a target that nobody reached.

    >>> late = Reached(10, censored=True)
    >>> round(log_rank([Reached(10), Reached(10)], [late, late]), 4)   # z = 1 / sqrt(1/3)
    0.0833
    >>> log_rank([late, late], [late, late])
    nan
    """
    return log_rank_z(found, baseline)[1]


def log_rank_z(found: Sequence[Reached], baseline: Sequence[Reached]) -> tuple[float, float]:
    """Return the statistic of the log-rank test, above 0 where `found` reaches the target sooner, and its p-value.

    >>> late = Reached(10, censored=True)
    >>> [round(log_rank_z(*both)[0], 3) for both in (([Reached(10)] * 2, [late] * 2), ([late] * 2, [Reached(10)] * 2))]
    [1.732, -1.732]
    """
    from scipy.stats import CensoredData, logrank

    if min(len(found), len(baseline)) < 2 or all(one.censored for one in (*found, *baseline)):
        return nan, nan
    ours, theirs = (
        CensoredData.right_censored([one.round for one in those], [one.censored for one in those])
        for those in (found, baseline)
    )
    with np.errstate(invalid="ignore"):  # all at the same round: no variance, and no difference
        test = logrank(ours, theirs)
    p = float(test.pvalue)
    return (float(test.statistic), p) if p == p else (0.0, 1.0)


def median_reached(found: Sequence[Reached]) -> Reached:
    """Return the round by which half of the seeds had reached the target, censored when fewer ever did.

    Equal to the Kaplan-Meier median when all seeds are followed for the same number of rounds.

    >>> str(median_reached([Reached(10), Reached(30, censored=True), Reached(20)]))
    '20'
    >>> str(median_reached([Reached(10), Reached(30, censored=True), Reached(30, censored=True)]))
    '>30'
    """
    assert found, "no seeds"
    times = sorted(inf if one.censored else one.round for one in found)
    middle = times[ceil(len(times) / 2) - 1]
    if middle == inf:
        return Reached(max(one.round for one in found if one.censored), censored=True)
    return Reached(int(middle))
