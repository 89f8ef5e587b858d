r"""SCAFFOLD: each client subtracts what its own gradients usually are and adds what everybody's are.

Karimireddy et al., "SCAFFOLD: stochastic controlled averaging for federated learning", ICML 2020, arXiv 1910.06378,
Algorithm 1 with option II. With c_i the client's control, c the server's, K_i steps at rate lr, a_i = `weights`:

    every local step   gradient + c - c_i
    then               c_i+ = c_i - c - delta_i / (K_i lr)
    on the server      c <- c + sum_S a_i (c_i+ - c_i)              so that c = sum_i a_i c_i after every round

The model moves as the rule above it says; the paper's is fedavg with `normalise: participants` and `server_lr`. State:
c, float64, O(d); the controls c_i, N x d, live with the clients' hosts, and a second vector goes down and comes up.
Empty cohort: c stays. A client that took no step, or a step of no length, keeps its control. With `strength` s the
shift is s (c - c_i), and is taken out of what is kept. Departures from the paper: weights a_i may follow examples (the
paper's are 1/N); the c that goes down is rounded to float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core.client_half import Before, Given, Order, Rows, Trained
from fedsim.core.contracts import Cohort, Parameters, Population
from fedsim.core.correction import Correction, Setting
from fedsim.core.sums import LinearSum, Sums, Vector


@dataclass(frozen=True)
class Control:
    """c = sum_i a_i c_i, (d,)."""

    mean: Vector
    population: Population


@dataclass(frozen=True, kw_only=True)
class Scaffold(Correction):
    """Subtract what a client's own gradients usually are, add what everybody's are (Karimireddy et al. 2020).

    >>> lane = Before(2, np.zeros(1), {"control": np.array([[3.0]])}, np.array([True]), {"c": np.ones(1)}, {})
    >>> Scaffold().begin(lane).shift.tolist()
    [[-2.0]]
    >>> Scaffold().remember(lane, Trained(np.array([[-4.0]]), np.array([2]), np.array([1.0])))["control"].tolist()
    [[6.0]]
    """

    memories: ClassVar[tuple[str, ...]] = ("control",)

    off: ClassVar[str] = "strength"
    name: Literal["scaffold"] = "scaffold"
    strength: Annotated[float, Ge(0)] = 1.0
    """Share of c - c_i that goes into every gradient; 0 is the rule alone."""

    def exact(self) -> bool:
        """Where all of c - c_i goes into the gradients."""
        return self.strength == 1.0

    def problems_in(self, setting: Setting) -> Iterator[tuple[str, str]]:
        """Controls are read off the way that SGD took."""
        yield from sgd_only(setting, self.name)

    def _shift(self, lane: Before) -> Rows:
        shift: Rows = lane.shared["c"] - lane.own["control"]
        return shift if self.strength == 1.0 else self.strength * shift

    def begin(self, lane: Before) -> Given:
        """Shift gradients by c - c_i."""
        return Given(shift=self._shift(lane))

    def remember(self, lane: Before, trained: Trained) -> Mapping[str, Rows]:
        """Keep c_i+, the mean of the raw gradients."""
        shift = self._shift(lane) if trained.shift is None else trained.shift
        return {"control": raw_gradients(trained, shift, lane.own["control"])}

    def start(self, params: Parameters, population: Population) -> Control:
        """Start with c = 0."""
        return Control(np.zeros(len(params)), population)

    def memory_means(self, state: Control) -> dict[str, Vector]:
        """Return c, the mean of the controls."""
        return {"control": state.mean}

    def order(self, state: Control, cohort: Cohort) -> Order:
        """Send c."""
        return Order(shared={"c": state.mean})

    def ask(self, state: Control, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for what c gains: sum a_i (c_i+ - c_i)."""
        weights = state.population.weights[cohort.clients]
        return {"gain": LinearSum(weights, -weights, stored=True, of="control")}

    def step(self, state: Control, cohort: Cohort, sums: Sums, update: Vector | None) -> tuple[Control, Vector | None]:
        """Let c take in the gain; the update stays."""
        return Control(state.mean + sums["gain"], state.population), update


def sgd_only(setting: Setting, name: str) -> Iterator[tuple[str, str]]:
    """Yield the problem of a method that reads gradients off the way that a client took."""
    if setting.client.optimizer != "sgd":
        text = f"{name} reads gradients off the way of SGD, delta / (K lr); {setting.client.optimizer} takes others"
        yield "client.optimizer", text


def raw_gradients(trained: Trained, shift: Rows, otherwise: Rows) -> Rows:
    """Return the mean over a client's local steps of its gradients before the shift, -delta / (K lr) - shift.

    `otherwise` (C, d) is returned for clients that took no step, and for all at rate 0.
    """
    way: Any = trained.way[:, None]
    moved = way > 0
    inverse = np.divide(-1.0, way, out=np.zeros(way.shape), where=moved).astype(trained.delta.dtype)
    found: Rows = trained.delta * inverse
    found -= shift
    return found if moved.all() else np.where(moved, found, otherwise)
