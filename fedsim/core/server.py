"""Server optimisers: small transforms of the update, applied before it is added to the parameters.

Reddi et al., "Adaptive federated optimization", ICLR 2021 (Algorithm 2), with the update in the role of the negative
gradient; momentum is Hsu et al. 2019 (FedAvgM). A transform is a pair of pure functions of a state that is a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Lt

from fedsim.core.config.tagged import Tagged

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """First and second moment of the update (d,) each; (0,) where a transform keeps none."""

    first: Vector
    second: Vector


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """Heavy-ball momentum: m <- momentum * m + v, update m (FedAvgM).

    >>> transform = Momentum(momentum=0.5)
    >>> state, update = transform.apply(transform.init(1), np.array([4.0]))
    >>> transform.apply(state, np.array([0.0]))[1].tolist()
    [2.0]
    """

    kind: Literal["momentum"] = "momentum"
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9

    def init(self, size: int) -> Moments:
        """Return the state before the first update of length `size`."""
        return Moments(np.zeros(size), np.zeros(0))

    def apply(self, state: Moments, update: Vector) -> tuple[Moments, Vector]:
        """Return the next state and the transformed update."""
        first = self.momentum * state.first + update
        return Moments(first, state.second), first


@dataclass(frozen=True, kw_only=True)
class Adam:
    """FedAdam: m <- b1 m + (1-b1) v, u <- b2 u + (1-b2) v^2, update m / (sqrt(u) + tau); no bias correction.

    >>> transform = Adam(beta1=0.0, beta2=0.0, tau=1.0)
    >>> transform.apply(transform.init(1), np.array([3.0]))[1].tolist()
    [0.75]
    """

    kind: Literal["adam"] = "adam"
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.99
    tau: Annotated[float, Gt(0)] = 1e-3

    def init(self, size: int) -> Moments:
        """Return the state before the first update of length `size`."""
        return Moments(np.zeros(size), np.zeros(size))

    def apply(self, state: Moments, update: Vector) -> tuple[Moments, Vector]:
        """Return the next state and the transformed update."""
        first = self.beta1 * state.first + (1 - self.beta1) * update
        second = self.beta2 * state.second + (1 - self.beta2) * update**2
        return Moments(first, second), first / (np.sqrt(second) + self.tau)


ServerOptimizer = Annotated[Momentum | Adam, Tagged("kind")]
