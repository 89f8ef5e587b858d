"""Presence that swings like a sine."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sin
from typing import Annotated, Literal

from annotated_types import Gt, Le

from fedsim.core.contracts import Vector
from fedsim.participation.modulations.config import Modulation


@dataclass(frozen=True, kw_only=True)
class Sine(Modulation):
    """p_i(t) = p_i (amplitude sin(2 pi t / period) + 1 - amplitude) in round t, counted from 1.

    Xiang et al., "Efficient federated learning against heterogeneous and non-stationary client unavailability",
    NeurIPS 2024 (FedAWE), section 7, where t counts from 0. It swings between p_i and p_i (1 - 2 amplitude), and its
    mean over a period is p_i (1 - amplitude).

    >>> [round(Sine(period=4, amplitude=0.25).factor(t), 12) for t in (1, 2, 3, 4)]
    [1.0, 0.75, 0.5, 0.75]
    """

    kind: Literal["sine"] = "sine"
    amplitude: Annotated[float, Gt(0), Le(0.5)] = 0.3
    """Half of the swing, as a share of p_i."""

    def factor(self, round: int) -> float:
        """Return amplitude sin(2 pi t / period) + 1 - amplitude."""
        return 1.0 - self.amplitude * (1.0 - sin(2 * pi * (round % self.period) / self.period))

    def known(self, probabilities: Vector) -> Vector:
        """Return p_i (1 - amplitude) (N,)."""
        return probabilities * (1.0 - self.amplitude)
