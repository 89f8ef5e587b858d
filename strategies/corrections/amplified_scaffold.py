r"""Amplified SCAFFOLD: control variates renewed once a period, and steps amplified over it; for cyclic participation.

Crawshaw & Liu, "Federated learning under periodic client participation and heterogeneity: a new communication-efficient
algorithm and analysis", NeurIPS 2024. In periods of P = `period` rounds with gamma = `factor`:

    every local step   gradient + c - c_i
    at a period's end  x <- x + (gamma - 1)(x - x at the end of the period before)
                       c_i <- the mean of client i's raw gradients over all its steps in the period; kept by a client
                              that was absent for a whole period
                       c   <- sum_i a_i c_i

A client cannot renew c_i at the end of a period in which it has come already, so it keeps two vectors: c_i, and next_i,
the mean of its raw gradients in the period so far, which is c_i from the next period on. State: c, sum_i a_i next_i and
the way of the period, float64, O(d), and how often each client came in it, O(N). P = 1 and gamma = 1 is SCAFFOLD. An
empty cohort that ends a period amplifies, with gamma other than 1. Departures from the paper: weights a_i may follow
examples; the way x - x_last is summed up from the updates before `server_lr` and any server optimiser.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge

from fedsim.core.client_half import Before, Given, Order, Rows, Trained
from fedsim.core.contracts import Cohort, Parameters, Population
from fedsim.core.correction import Correction, Setting
from fedsim.core.sums import LinearSum, Sums, Vector
from fedsim.strategies.corrections.scaffold import raw_gradients, sgd_only


@dataclass(frozen=True)
class Period:
    """c = sum_i a_i c_i, `following` = sum_i a_i next_i, the `way` of this period (d,), and the `visits` in it (N,)."""

    mean: Vector
    following: Vector
    way: Vector
    visits: npt.NDArray[np.int64]
    population: Population


@dataclass(frozen=True, kw_only=True)
class AmplifiedScaffold(Correction):
    """Control variates renewed once a period, and amplified steps (Crawshaw & Liu 2024).

    >>> rule = AmplifiedScaffold(period=2, factor=3.0)
    >>> state = rule.start(np.zeros(1, np.float32), Population(np.ones(2, np.int64), np.array([0.5, 0.5])))
    >>> state, update = rule.step(state, Cohort(1, np.array([0])), {"gain": np.array([4.0])}, np.array([1.0]))
    >>> state.mean.tolist(), update.tolist()
    ([0.0], [1.0])
    >>> state, update = rule.step(state, Cohort(2, np.array([1])), {"gain": np.array([1.0])}, np.array([2.0]))
    >>> state.mean.tolist(), update.tolist()
    ([5.0], [8.0])
    """

    linear: ClassVar[bool] = False
    memories: ClassVar[tuple[str, ...]] = ("control", "next")

    name: Literal["amplified_scaffold"] = "amplified_scaffold"
    period: Annotated[int, Ge(1)] = 1
    """P, rounds in a period."""
    factor: Annotated[float, Ge(0)] = 1.0
    """gamma, what the way of a period is multiplied by at its end."""

    def problems_in(self, setting: Setting) -> Iterator[tuple[str, str]]:
        """Controls are read off the way that SGD took."""
        yield from sgd_only(setting, self.name)

    def exact(self) -> bool:
        """As SCAFFOLD is."""
        return self.factor > 0.0

    def _control(self, lane: Before) -> Rows:
        """Return c_i as of this period: renewed when a client comes for the first time in it."""
        return np.where(lane.numbers["visits"][:, None] == 0, lane.own["next"], lane.own["control"])

    def begin(self, lane: Before) -> Given:
        """Shift gradients by c - c_i."""
        return Given(shift=lane.shared["c"] - self._control(lane))

    def remember(self, lane: Before, trained: Trained) -> Mapping[str, Rows]:
        """Keep c_i, and the mean of the raw gradients in the period so far."""
        control, before = self._control(lane), lane.own["next"]
        raw = raw_gradients(trained, lane.shared["c"] - control, before)
        share = (1.0 / (1.0 + lane.numbers["visits"]))[:, None].astype(raw.dtype)
        return {"control": control, "next": np.where(share == 1.0, raw, before + share * (raw - before))}

    def start(self, params: Parameters, population: Population) -> Period:
        """Start with c = 0, at the first round of a period."""
        zero = np.zeros(len(params))
        return Period(zero, zero, zero, np.zeros(population.num_clients, np.int64), population)

    def memory_means(self, state: Period) -> dict[str, Vector]:
        """Return what c will be."""
        return {"next": state.following}

    def order(self, state: Period, cohort: Cohort) -> Order:
        """Send c, and how often each client came in this period."""
        return Order({"c": state.mean}, {"visits": state.visits[cohort.clients].astype(np.float64)})

    def ask(self, state: Period, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for what the next c gains: sum a_i (next_i+ - next_i)."""
        weights = state.population.weights[cohort.clients]
        return {"gain": LinearSum(weights, -weights, stored=True, of="next")}

    def step(self, state: Period, cohort: Cohort, sums: Sums, update: Vector | None) -> tuple[Period, Vector | None]:
        """Amplify and renew c at the end of a period."""
        visits, following = state.visits.copy(), state.following + sums["gain"]
        visits[cohort.clients] += 1
        way = state.way if update is None else state.way + update
        if cohort.round % self.period:
            return replace(state, following=following, way=way, visits=visits), update
        if self.factor != 1.0:
            update = (0.0 if update is None else update) + (self.factor - 1.0) * way
        zero = np.zeros_like(way)
        return Period(following, following, zero, np.zeros_like(visits), state.population), update
