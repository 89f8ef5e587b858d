r"""FedStale(beta): correct each fresh delta by a share beta of what the client sent last.

Rodio & Neglia, "FedStale: leveraging stale client updates in federated learning", ECAI 2024, arXiv 2405.04171. With
a_i = `weights`, p_i = `probabilities`, h_i the memory before this round and H = sum_i a_i h_i:

    v = sum_S (a_i / p_i) (delta_i - beta h_i) + beta H
    then, on S only:  H <- H + sum_S a_i (delta_i - h_i),   h_i <- delta_i

beta = 0 is FedAvg/inverse_probability, exactly, and beta = 1 FedVARP/inverse_probability, at equal `memory.of`: here
the default is `update`, h_i as it was sent, as in the authors' code; with `gradient` h_i and H are used at the rate of
the round, h_i lr_t / lr_i, which differs only when the learning rate changes. beta above 1 is allowed. Unbiased for
every beta with `on_empty: apply`; conditional variance under independent participation
sum_i a_i^2 (1 - p_i) / p_i ||delta_i - beta h_i||^2.

`beta: auto` takes the beta that makes this variance least, beta* = sum_i c_i <delta_i, h_i> / sum_i c_i ||h_i||^2 with
c_i = a_i^2 (1 - p_i) / p_i. In every round the cohort's sums, each term times 1/p_i, estimate both without bias; they
enter running means (a fifth of the new each), and beta is their ratio, at least 0 and at most `beta_max`. Only earlier
rounds count, so that it does not depend on who replies. It starts at 1/2 and stays where it is while nothing is
remembered or everybody is certain to come. The formula is that of independent coins (`bernoulli`, `full`, groups of
them) with known p_i. With other processes, or p_i that are listed otherwise or estimated, it is a heuristic, and
summary and metrics (`beta`, `beta_heuristic`) say so; dependent processes need listed p_i for it.

State: H, float64, O(d) (and O(N) counters with `probabilities: estimated`); the memories h_i, N x d, live with the
clients' hosts. Empty cohort: `apply` moves by beta H, as the formula says; `skip` moves nothing, remembers nothing,
and costs unbiasedness (beta P(empty) H is lost). Departures from the paper: weights a_i may follow examples; p_i may
be listed or estimated. The authors' code estimates p_i, weighs by examples and passes over empty rounds, for which
write `probabilities: estimated`, `weights: examples`, `on_empty: skip`; its server also decays the model by 5e-4 in
every round, for which write `server_weight_decay: 5e-4`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt

from fedsim.core.config.plain import LATER
from fedsim.core.contracts import (
    Asked,
    Cohort,
    Diagnostics,
    Dot,
    LinearSum,
    MemoryOf,
    Parameters,
    Population,
    Rule,
    Sums,
    Vector,
)
from fedsim.strategies import inverse
from fedsim.strategies.inverse import Inverse, Probabilities

START, NEW = 0.5, 0.2
"""Where `beta: auto` begins, and the share of the newest round in its running means."""


@dataclass(frozen=True)
class AutoBeta:
    """The running means of both sums, the beta that they give, and whether its formula holds in this run."""

    product: float
    square: float
    beta: float
    exact: bool

    def after(self, product: float, square: float, largest: float) -> AutoBeta:
        """Return the same after a round with these sums."""
        product = (1 - NEW) * self.product + NEW * product
        square = (1 - NEW) * self.square + NEW * square
        beta = min(max(product / square, 0.0), largest) if square > 0 else self.beta
        return AutoBeta(product, square, beta, self.exact)


@dataclass(frozen=True)
class StaleState:
    """H = sum_i a_i h_i (d,), where 1/p_i comes from, and what `beta: auto` has seen."""

    mean: Vector
    inverse: Inverse
    auto: AutoBeta | None = None


@dataclass(frozen=True, kw_only=True)
class FedStale(Rule):
    """Correct fresh deltas by a share beta of the remembered ones (Rodio & Neglia 2024).

    >>> rule = FedStale(beta=0.5)
    >>> population = Population(np.ones(2, np.int64), np.array([0.5, 0.5]), np.array([0.5, 1.0]))
    >>> state = replace(rule.start(np.zeros(1, np.float32), population), mean=np.array([4.0]))
    >>> asked = rule.ask(state, Cohort(1, np.array([0])))
    >>> asked["update"].fresh.tolist(), asked["update"].stale.tolist(), asked["innovation"].fresh.tolist()
    ([1.0], [-0.5], [0.5])
    >>> after, update = rule.step(state, Cohort(1, np.array([0])), {"update": np.ones(1), "innovation": np.ones(1)})
    >>> update.tolist(), after.mean.tolist()
    ([3.0], [5.0])
    """

    remembers: ClassVar[bool] = True
    forms: ClassVar[tuple[str, ...]] = ("beta",)
    memory_of: ClassVar[MemoryOf] = "update"

    name: Literal["fedstale"] = "fedstale"
    beta: Annotated[float, Ge(0)] | Literal["auto"] = 0.5
    """Share of the memory that is subtracted from each fresh delta and added back as beta H; above 1 is allowed."""
    beta_max: Annotated[float, Gt(0)] | None = field(default=None, metadata=LATER)
    """The most that `beta: auto` becomes; null means 1, and more is allowed."""
    probabilities: Probabilities = "known"
    """Where p_i comes from."""
    on_empty: Literal["apply", "skip"] = "apply"
    """What an empty cohort does: move by beta H, or nothing."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """A beta that is given has no bound."""
        if self.beta_max is not None and self.beta != "auto":
            yield "beta_max", f"is for `beta: auto`; beta is {self.beta:g}"

    def needs_coins(self) -> str | None:
        """The formula of `beta: auto` is that of independent coins; whoever lists p_i takes it as a heuristic."""
        return "beta" if self.beta == "auto" and not isinstance(self.probabilities, tuple) else None

    def unbiased(self) -> bool:
        """Where nobody's round moves the model too, at every beta."""
        return self.needs_probabilities() and self.on_empty == "apply" and self.beta != "auto"

    def needs_probabilities(self) -> bool:
        """`known` p_i must come from the participation process."""
        return self.probabilities == "known"

    def start(self, params: Parameters, population: Population) -> StaleState:
        """Start with an empty memory."""
        known = inverse.begin(self.probabilities, population)
        auto = AutoBeta(0.0, 0.0, self._at_most(START), known.exact(population)) if self.beta == "auto" else None
        return StaleState(np.zeros(len(params)), known, auto)

    def _at_most(self, beta: float) -> float:
        return min(beta, 1.0 if self.beta_max is None else self.beta_max)

    def _beta(self, state: StaleState) -> float:
        return state.auto.beta if self.beta == "auto" and state.auto is not None else float(self.beta)

    def ask(self, state: StaleState, cohort: Cohort) -> dict[str, Asked]:
        """Ask for the corrected update, for what the memory mean gains, and for what `auto` learns from."""
        weights, factors = (v[cohort.clients] for v in (state.inverse.population.weights, state.inverse.factors()))
        scaled = weights * factors
        asked: dict[str, Asked] = {
            "update": LinearSum(scaled, -self._beta(state) * scaled),
            "innovation": LinearSum(weights, -weights, stored=True),
        }
        if self.beta == "auto":
            each = scaled * weights * (factors - 1)  # c_i / p_i
            asked |= {"product": Dot(each, "delta", "h"), "square": Dot(each, "h", "h")}
        return asked

    def step(self, state: StaleState, cohort: Cohort, sums: Sums) -> tuple[StaleState, Vector | None]:
        """Use the old H, then let it take in the innovation."""
        after = state.inverse.after(cohort)
        if len(cohort) == 0 and self.on_empty == "skip":
            return replace(state, inverse=after), None
        update = sums["update"] + self._beta(state) * state.mean
        auto = state.auto
        if auto is not None:
            auto = auto.after(float(sums["product"][0]), float(sums["square"][0]), self._at_most(np.inf))
        return StaleState(state.mean + sums["innovation"], after, auto), update

    def memory_mean(self, state: StaleState) -> Vector:
        """Return H."""
        return state.mean

    def diagnostics(self, state: StaleState, cohort: Cohort) -> Diagnostics:
        """Tell the estimate of 1/p_i, where there is one, and the beta of the round where it sets itself."""
        told = state.inverse.diagnostics(cohort)
        if state.auto is None:
            return told
        values = {"beta": state.auto.beta, "beta_heuristic": float(not state.auto.exact)}
        return replace(told, values={**told.values, **values}, heuristics=() if state.auto.exact else ("beta",))
