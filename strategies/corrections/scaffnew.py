r"""Scaffnew: local steps go on until a coin falls heads; only then models are averaged, and controls learn from it.

Mishchenko, Malinovsky, Stich & Richtarik, "ProxSkip: yes! Local gradient steps provably lead to communication
acceleration! Finally!", ICML 2022, arXiv 2202.09357, Algorithm 2 (Scaffnew). A round is one iteration: every client
takes one step of rate lr from where it is, and with probability p = `probability` they meet:

    x^_i = x_i - lr (gradient - h_i)
    heads   x = mean_i (x^_i - (lr / p) h_i);     x_i <- x;     h_i <- h_i + (p / lr) (x - x^_i)
    tails   x_i <- x^_i

All clients take part in every round, so that sum_i h_i stays 0 and the mean of the x^_i is the new x. The global model
is that mean in every round, which between two meetings nobody holds: it is evaluated, nothing travels. A client learns
x in the round after a meeting, and renews h_i then: it keeps h_i and x^_i. State: whether the clients have just met.
Coins are drawn from the run's seed and the round. Departures from the paper: none; mini-batches are the paper's
stochastic variant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Gt, Le

from fedsim.core import rng
from fedsim.core.client_half import Before, Given, Order, Rows, Trained
from fedsim.core.contracts import Cohort, Parameters, Population
from fedsim.core.correction import Correction, Setting
from fedsim.core.sums import Sums, Vector


@dataclass(frozen=True)
class Coins:
    """Whether the last coin fell heads, so that all clients are at the global model."""

    met: bool
    population: Population


@dataclass(frozen=True, kw_only=True)
class Scaffnew(Correction):
    """Average when a coin falls heads, and let controls learn from it (Mishchenko et al. 2022).

    >>> lane = Before(2, np.array([1.67]), {"control": np.zeros((1, 1)), "local": np.array([[0.81]])},
    ...               np.array([True]), {}, {"met": np.ones(1)}, 0.1)
    >>> np.round(Scaffnew(probability=0.5).begin(lane).shift, 6).tolist()
    [[-4.3]]
    """

    memories: ClassVar[tuple[str, ...]] = ("control", "local")

    name: Literal["scaffnew"] = "scaffnew"
    probability: Annotated[float, Gt(0), Le(1)] = 0.5
    """p, how often models are averaged."""

    def problems_in(self, setting: Setting) -> Iterator[tuple[str, str]]:
        """Every client takes one step in every round, and keeps its own model."""
        work = setting.client
        if work.local_steps != 1:
            yield "client.local_steps", "scaffnew decides after every step whether to average: write local_steps: 1"
        if work.optimizer != "sgd" or work.momentum or not work.constant_rate:
            yield "client", "scaffnew takes plain SGD steps of one rate"
        if setting.participation.kind != "full":
            yield "participation.kind", f"scaffnew needs every client in every round, got {setting.participation.kind}"
        if setting.memory.dtype != "float32":
            yield "memory.dtype", f"scaffnew keeps the clients' own models, got {setting.memory.dtype}; write float32"

    def _control(self, lane: Before) -> Rows:
        """Return h_i, renewed where the clients have just met."""
        control, scale = lane.own["control"], self.probability / lane.rate if lane.rate else 0.0
        renewed = lane.seen & (lane.numbers["met"] > 0)
        return np.where(renewed[:, None], control + scale * (lane.params - lane.own["local"]), control)

    def begin(self, lane: Before) -> Given:
        """Shift gradients by -h_i, and go on from x^_i unless the clients have just met."""
        alone = lane.seen & (lane.numbers["met"] == 0)
        start = np.where(alone[:, None], lane.own["local"], lane.params) if alone.any() else None
        return Given(shift=-self._control(lane), start=start)

    def remember(self, lane: Before, trained: Trained) -> Mapping[str, Rows]:
        """Keep h_i and x^_i."""
        return {"control": self._control(lane), "local": lane.params + trained.delta}

    def start(self, params: Parameters, population: Population) -> Coins:
        """Start where all clients are at the first model."""
        return Coins(True, population)

    def _heads(self, state: Coins, round: int) -> bool:
        return bool(rng.uniforms(rng.digest(state.population.seed, "scaffnew", round), 0) < self.probability)

    def order(self, state: Coins, cohort: Cohort) -> Order:
        """Tell whether the clients have just met; only where they meet again does anything travel."""
        met: Any = np.full(len(cohort), float(state.met))
        return Order(numbers={"met": met}, silent=not self._heads(state, cohort.round))

    def step(self, state: Coins, cohort: Cohort, sums: Sums, update: Vector | None) -> tuple[Coins, Vector | None]:
        """Note the coin; the rule has made the mean."""
        return Coins(self._heads(state, cohort.round), state.population), update
