"""Statistics of a round form a commutative monoid: nodes report sums, the sums add up, nothing else is needed.

A statistic is a mapping from names to numbers; a missing name counts as zero, the empty mapping is the identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum

import numpy as np
import numpy.typing as npt

Statistics = Mapping[str, float]

NOTHING: Statistics = {}
"""The identity of `add`."""


def add(one: Statistics, other: Statistics) -> dict[str, float]:
    """Add two statistics name by name.

    >>> add({"clients": 2, "loss": 1.5}, {"clients": 1})
    {'clients': 3, 'loss': 1.5}
    """
    return dict(one) | {name: one.get(name, 0) + value for name, value in other.items()}


def total(parts: Iterable[Statistics]) -> dict[str, float]:
    """Add many statistics, correctly rounded: the bits do not depend on the order or the grouping into nodes.

    >>> total([{"x": 1e100}, {"x": 1.0}, {"x": -1e100}])
    {'x': 1.0}
    """
    found: dict[str, list[float]] = {}
    for part in parts:
        for name, value in part.items():
            found.setdefault(name, []).append(value)
    return {name: fsum(values) for name, values in found.items()}


def square_norm(vector: npt.NDArray[np.float64]) -> float:
    """Return ||vector||^2 as a plain sum in one thread: the bits of a BLAS product depend on its number of threads.

    >>> square_norm(np.array([3.0, 4.0]))
    25.0
    """
    return float(np.einsum("i,i->", vector, vector))


def update_variance(count: float, square_norms: float, mean: npt.NDArray[np.float64]) -> float:
    """Return (1/n) sum_i ||delta_i - mean||^2 from the count n, sum_i ||delta_i||^2 and the mean (d,).

    By the parallel-axis identity this is sum_i ||delta_i||^2 / n - ||mean||^2. The two terms cancel when the deltas
    agree: what is left below the rounding error of sums over n clients and d entries is noise, and reported as 0. An
    empty cohort has variance 0.

    >>> update_variance(2, 0.0 + 4.0, np.array([1.0]))
    1.0
    """
    if count == 0:
        return 0.0
    mean_square = square_norms / count
    variance = mean_square - square_norm(mean)
    noise = (8 + count + len(mean) ** 0.5) * np.finfo(np.float64).eps * mean_square
    return float(variance) if not variance <= noise else 0.0
