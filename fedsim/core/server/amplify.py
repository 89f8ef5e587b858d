r"""Amplified updates: what a whole period has moved the model by is moved once more.

Wang & Ji, "A unified analysis of federated learning with arbitrary client participation", NeurIPS 2022, arXiv
2205.13648, Algorithm 1 (Generalized FedAvg), with P = `period`, eta = `factor` and x_0 the parameters when the period
began:

    x <- x + v in every round;   at the end of every P-th round   x <- x_0 + factor (x - x_0)

so that T(v) = v + (factor - 1)(x + rate v - x_0) / rate in such a round, and v in the others. factor = 1 is no
transform.

State: x_0, float32, (d,). In a round in which the rule moves nothing the period goes on, and at its end what it moved
before is amplified all the same. Departures from the paper: v is multiplied by the server's rate, which the paper has
not; at a rate of 0 nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core.server.transform import Parameters, Server, Transform, Vector


@dataclass(frozen=True)
class Period:
    """The parameters (d,) when the period began."""

    origin: Parameters


@dataclass(frozen=True, kw_only=True)
class Amplify(Transform):
    """Move the model once more by (factor - 1) times what a period has moved it by (Wang & Ji 2022).

    >>> transform, x = Amplify(period=2, factor=3.0), np.zeros(1, np.float32)
    >>> state, update = transform.apply(transform.init(x), np.array([1.0]), Server(1, x))
    >>> update.tolist(), transform.apply(state, np.array([1.0]), Server(2, x + 1))[1].tolist()
    ([1.0], [5.0])
    """

    kind: Literal["amplify"] = "amplify"
    period: Annotated[int, Ge(1)]
    """P, the rounds of a period: as many as it takes until everybody has come."""
    factor: Annotated[float, Ge(1)]
    """How much longer a period's move becomes; 1 changes nothing."""

    def init(self, params: Parameters) -> Period:
        """Begin the first period."""
        return Period(params)

    def _begun(self, state: Period, server: Server) -> Period:
        return Period(server.params) if (server.round - 1) % self.period == 0 else state

    def apply(self, state: Period, update: Vector, server: Server) -> tuple[Period, Vector]:
        """Pass the update on, amplified when the period ends."""
        state = self._begun(state, server)
        if server.round % self.period or server.rate == 0:
            return state, update
        before = server.params.astype(np.float64) - state.origin
        return state, self.factor * update + (self.factor - 1) * before / server.rate

    def rest(self, state: Period, server: Server) -> tuple[Period, Vector | None]:
        """Amplify at the end of a period, if it has moved the model."""
        state = self._begun(state, server)
        if server.round % self.period or np.array_equal(server.params, state.origin):
            return state, None
        return self.apply(state, np.zeros(len(server.params)), server)
