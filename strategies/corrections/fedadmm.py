r"""FedADMM: clients solve their part of an augmented Lagrangian and send how primal and dual together have moved.

Gong, Li & Freris, "FedADMM: a robust federated deep learning framework with adaptivity to system heterogeneity", ICDE
2022, arXiv 2204.03529, Algorithm 1. With y_i the client's dual, w_i its last local model (the first model before it has
come), x the model it was given and rho = `rho`:

    every local step   gradient + y_i + rho (w - x)
    then               y_i+ = y_i + rho (w_i+ - x);   the message is (w_i+ - w_i) + (y_i+ - y_i) / rho
    on the server      update <- update + the mean over S of (message - delta_i), by the weights a_i

With fedavg and `normalise: participants` the update is the paper's mean of messages, and `server_lr` its eta. A client
keeps y_i and u_i = w_i + y_i / rho, of which the message is the change. State: the first model, O(d), and who has been
seen, O(N). Empty cohort: nothing moves. Departures from the paper: local work starts at x and takes the steps of
`client:`; the mean may follow examples; the rule may be another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Gt

from fedsim.core.client_half import Before, Given, Order, Rows, Trained
from fedsim.core.contracts import Cohort, Parameters, Population
from fedsim.core.correction import Correction
from fedsim.core.sums import LinearSum, Sums, Vector


@dataclass(frozen=True)
class Known:
    """The first model (d,), and which clients have been seen (N,): the others' u_i is the first model."""

    first: Vector
    seen: npt.NDArray[np.bool_]
    population: Population


@dataclass(frozen=True, kw_only=True)
class FedADMM(Correction):
    """Send how primal and dual variables together have moved (Gong, Li & Freris 2022).

    >>> rule = FedADMM(rho=2.0)
    >>> state = rule.start(np.ones(1, np.float32), Population(np.ones(2, np.int64), np.array([0.5, 0.5])))
    >>> sums = {"augmented": np.array([2.0]), "moved": np.array([0.5])}
    >>> after, update = rule.step(state, Cohort(1, np.array([1])), sums, np.array([1.0]))
    >>> update.tolist(), after.seen.tolist()
    ([3.0], [False, True])
    """

    linear: ClassVar[bool] = False
    memories: ClassVar[tuple[str, ...]] = ("augmented", "dual")

    name: Literal["fedadmm"] = "fedadmm"
    rho: Annotated[float, Gt(0)] = 1.0
    """Strength of the pull towards the model, and step of the dual."""

    def begin(self, lane: Before) -> Given:
        """Shift gradients by y_i; the pull is in the order."""
        return Given(shift=lane.own["dual"])

    def remember(self, lane: Before, trained: Trained) -> Mapping[str, Rows]:
        """Keep u_i+ = w_i+ + y_i+ / rho, and y_i+."""
        dual = lane.own["dual"] + self.rho * trained.delta
        return {"augmented": lane.params + trained.delta + dual / self.rho, "dual": dual}

    def start(self, params: Parameters, population: Population) -> Known:
        """Start with every w_i at the first model and no dual."""
        return Known(params.astype(np.float64), np.zeros(population.num_clients, bool), population)

    def order(self, state: Known, cohort: Cohort) -> Order:
        """Pull with strength rho."""
        return Order(pull=self.rho)

    def ask(self, state: Known, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for sum a_i (u_i+ - u_i), and for sum a_i delta_i, which is taken out of it."""
        weights = state.population.weights[cohort.clients]
        return {"augmented": LinearSum(weights, -weights, of="augmented"), "moved": LinearSum(weights)}

    def step(self, state: Known, cohort: Cohort, sums: Sums, update: Vector | None) -> tuple[Known, Vector | None]:
        """Add the mean of what messages say beyond the deltas."""
        if len(cohort) == 0:
            return state, update
        weights, new = state.population.weights[cohort.clients], ~state.seen[cohort.clients]
        beyond = sums["augmented"] - weights[new].sum() * state.first - sums["moved"]
        seen = state.seen.copy()
        seen[cohort.clients] = True
        return replace(state, seen=seen), (0.0 if update is None else update) + beyond / weights.sum()
