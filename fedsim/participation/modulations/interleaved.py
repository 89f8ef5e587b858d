"""Presence that swings like a sine and is cut off where it is small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt, Le, Lt

from fedsim.core.contracts import Vector
from fedsim.participation.modulations.config import Modulation
from fedsim.participation.modulations.sine import Sine


@dataclass(frozen=True, kw_only=True)
class Interleaved(Modulation):
    """As `sine`, and 0 in the rounds in which p_i(t) falls below the cutoff, so that clients are away for stretches.

    Xiang et al. (FedAWE), NeurIPS 2024, section 7; their code has period 20, amplitude 0.3, cutoff 0.1, and t from 0.
    """

    kind: Literal["interleaved"] = "interleaved"
    amplitude: Annotated[float, Gt(0), Le(0.5)] = 0.3
    """Half of the swing, as a share of p_i."""
    cutoff: Annotated[float, Gt(0), Lt(1)] = 0.1
    """A probability: below it p_i(t) is 0."""

    def factor(self, round: int) -> float:
        """Return amplitude sin(2 pi t / period) + 1 - amplitude."""
        return Sine(period=self.period, amplitude=self.amplitude).factor(round)

    def kept(self, probabilities: Vector | None, round: int) -> Any:
        """Return p_i(t) / p_i of a round (N,)."""
        assert probabilities is not None, "told when the process is made"
        factor = self.factor(round)
        return np.where(probabilities * factor < self.cutoff, 0.0, factor)

    @property
    def needs_probabilities(self) -> bool:
        """It compares p_i(t) with the cutoff."""
        return True

    def known(self, probabilities: Vector) -> Vector:
        """Return the means of p_i(t) over a period (N,)."""
        total = np.zeros(len(probabilities))
        for t in range(1, self.period + 1):
            total += probabilities * self.kept(probabilities, t)
        return np.asarray(total / self.period)
