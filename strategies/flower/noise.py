"""Gaussian noise of the server on the sum that a rule asked for, before the rule makes a step of it."""

from __future__ import annotations

from dataclasses import dataclass

from fedsim.core import rng
from fedsim.core.sums import Sums


@dataclass(frozen=True)
class SumNoise:
    """N(0, deviation^2 I) on a round's one sum (McMahan et al. 2018, alg. 1); a function of (seed, round) alone.

    >>> import numpy as np
    >>> once, again = (SumNoise(1, 2.0).added({"update": np.zeros(3)}, 5)["update"] for _ in range(2))
    >>> bool((once == again).all() and (once != 0).all())
    True
    """

    seed: int
    deviation: float
    """Of every entry, in the units of the sum: parameters times the coefficient of a client."""

    def added(self, sums: Sums, round: int) -> Sums:
        """Return the sum with the round's noise, drawn and added in float64."""
        ((name, total),) = sums.items()
        draws = rng.stream(self.seed, "server noise", round).standard_normal(len(total))
        return {name: total + self.deviation * draws}
