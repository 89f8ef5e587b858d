"""From what a round came to, to the numbers that are reported. Reads only; draws nothing; feeds nothing back.

First what is reported of one round; then what accumulates over a run, per client: who was seen when, and with what
weight its vectors entered the updates. Last the statistics of a round, a commutative monoid: nodes report sums, the
sums add up, nothing else is needed. A statistic is a mapping from names to numbers; a missing name counts as zero, the
empty mapping is the identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum, isnan, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.clients.delivery import TELLING, TOLD
from fedsim.core import Diagnostics, Population, Reply, Strategy
from fedsim.core.contracts import CUTOFF, WEIGHT, Ids, Parameters, Vector
from fedsim.core.messages import PAYLOAD
from fedsim.participation.environment import Attendance
from fedsim.strategies.flower.coordinator import RoundResult

Arrays = dict[str, npt.NDArray[Any]]
Statistics = Mapping[str, float]

NOTHING: Statistics = {}
"""The identity of `add`."""
CRASHES = ("raised", "non-finite", "shape", "timeout", "crash", "host")


def round_values(
    outcome: RoundResult,
    ledger: RunTotals,
    sent: Mapping[str, float],
    there: Attendance,
    rule: Strategy,
    population: Population,
    params: Parameters,
) -> dict[str, float]:
    """Return the metrics of one training round."""
    counted = total(reply.statistics for reply in outcome.replies)
    clients = counted.get("clients", 0.0)
    crashed = sum(failure.kind in CRASHES for failure in outcome.failures)
    values = {
        "cohort_size": float(len(outcome.cohort)),
        "empty_round": float(len(outcome.cohort) == 0),
        "num_invited": float(len(there.scheduled)),
        "num_crashed": float(crashed),
        "num_lost": float(len(outcome.failures) - crashed),
        "params_norm": sqrt(square_norm(params.astype(np.float64))),
        "update_norm": 0.0 if outcome.update is None else sqrt(square_norm(outcome.update)),
    }
    if outcome.used is not None:
        values["objective_tv"] = ledger.total_variation(population.weights)
    if clients:
        if not isnan(counted["loss"]):  # what foreign work does not tell
            values["train_loss"] = counted["loss"] / clients
        values |= told_values(counted)
        if outcome.cohort_sum is not None:
            values["update_variance"] = update_variance(clients, counted["delta_square"], outcome.cohort_sum / clients)
    values |= sent
    values["messages"] = 2.0 * len(outcome.replies)
    values["wire_bytes"] = float(reply_bytes(outcome.replies) + len(outcome.replies) * params.nbytes)
    if there.arrivals is not None:
        values["num_late"] = float(len(there.arrivals.late))
        values["num_surplus"] = float(len(there.arrivals.surplus))
        values["virtual_s"] = ledger.virtual_s
    if rule.remembers:
        ages = ledger.ages(outcome.cohort.round)
        values["memory_age_mean"] = float(ages.mean()) if len(ages) else 0.0
        values["memory_age_max"] = float(ages.max(initial=0))
    values |= outcome.told.values
    return values | weight_values(outcome.told, population) if WEIGHT in outcome.told.vectors else values


def told_values(counted: Statistics) -> dict[str, float]:
    """Return what clients of foreign work tell: the mean of each number over those who tell it.

    >>> told_values({"told.accuracy": 1.5, "telling.accuracy": 2.0, "loss": 1.0})
    {'client.accuracy': 0.75}
    """
    names = [name.removeprefix(TOLD) for name in counted if name.startswith(TOLD)]
    return {f"client.{name}": counted[f"{TOLD}{name}"] / counted[f"{TELLING}{name}"] for name in names}


def reply_bytes(replies: Iterable[Reply]) -> int:
    """Return the bytes of the arrays in some nodes' replies."""
    return sum(array.nbytes for reply in replies for array in (*reply.sums.values(), reply.clients))


def weight_values(told: Diagnostics, population: Population) -> dict[str, float]:
    """Return how a strategy's estimate compares with 1/p_i, where both are known."""
    if population.probabilities is None:
        return {}
    relative = told.vectors[WEIGHT] * population.probabilities
    return {
        "weight_bias": float(relative.mean() - 1.0),
        "weight_variance": float(((relative - relative.mean()) ** 2).mean()),
    }


@dataclass(frozen=True)
class WeightLedger:
    """Of an estimate of 1/p_i, per client over the rounds so far: sum of w_i, sum of w_i^2, and cutoff hits."""

    rounds: int
    total: Vector
    square: Vector
    cutoffs: Ids

    def after(self, weight: Vector, cutoff: npt.NDArray[np.bool_]) -> WeightLedger:
        """Return the ledger after a round that used these weights."""
        return WeightLedger(self.rounds + 1, self.total + weight, self.square + weight**2, self.cutoffs + cutoff)

    def vectors(self, probabilities: Vector | None) -> Arrays:
        """Return mean and variance of w_i over the rounds, cutoff hits, and the bias E w_i - 1/p_i where p is known."""
        count = max(1, self.rounds)
        mean = self.total / count
        found: Arrays = {
            "weight_mean": mean,
            "weight_variance": np.maximum(0.0, self.square / count - mean**2),
            "cutoff_hits": self.cutoffs,
        }
        return found if probabilities is None else found | {"weight_bias": mean - 1.0 / probabilities}


@dataclass(frozen=True)
class RunTotals:
    """What accumulates over a run: per client the last round seen (0: never) and the weight its vectors have had.

    `effective` adds up the coefficients with which client i's deltas entered updates, fresh and remembered, also
    inside a running mean: which objective did this run optimise? `virtual_s` and `traffic_bytes` are the simulated
    time and the bytes between server and clients so far; `weights` is kept for rules that estimate 1/p_i.
    """

    last_seen: npt.NDArray[np.int64]
    effective: Vector
    virtual_s: float = 0.0
    traffic_bytes: float = 0.0
    weights: WeightLedger | None = None

    @staticmethod
    def start(num_clients: int, told: Diagnostics) -> RunTotals:
        """Return the ledger before round 1; `told` is what the strategy says of its first state."""
        zeros, counts = np.zeros(num_clients), np.zeros(num_clients, np.int64)
        return RunTotals(
            counts, zeros, weights=WeightLedger(0, zeros, zeros, counts) if WEIGHT in told.vectors else None
        )

    def after(self, outcome: RoundResult, there: Attendance, sent: Mapping[str, float]) -> RunTotals:
        """Return the ledger after one more round, in which so many bytes were `sent` either way."""
        cohort = outcome.cohort
        effective = self.effective.copy()
        if outcome.used is not None:
            if outcome.used.stale is not None:
                effective += np.where(self.last_seen > 0, outcome.used.stale, 0.0)
            effective[cohort.clients] += outcome.used.fresh
        last_seen = self.last_seen.copy()
        last_seen[cohort.clients] = cohort.round
        weights, told = self.weights, outcome.told.vectors
        if weights is not None:
            weights = weights.after(told[WEIGHT], told.get(CUTOFF, np.zeros(len(last_seen), bool)))
        return RunTotals(
            last_seen,
            effective,
            self.virtual_s + (there.arrivals.seconds if there.arrivals else 0.0),
            self.traffic_bytes + sum(sent.values()),
            weights,
        )

    def ages(self, round: int) -> npt.NDArray[np.int64]:
        """Return the ages of the memories that exist: rounds since each was written."""
        seen = self.last_seen[self.last_seen > 0]
        return round - seen

    def total_variation(self, target: Vector) -> float:
        """Return half the sum of |effective share - a_i|: 0 when the run optimised the objective it was given."""
        mass = self.effective.sum()
        if mass <= 0:
            return 0.0
        return float(0.5 * np.abs(self.effective / mass - target).sum())

    def vectors(self, rule: Strategy, population: Population, round: int) -> Arrays:
        """Return what is told per client now and then: effective objective weights, ages of memory, estimates."""
        mass = self.effective.sum()
        found: Arrays = {"effective_weight": self.effective / mass if mass > 0 else self.effective}
        if rule.remembers:
            found["memory_age_histogram"] = np.bincount(self.ages(round))
        return found | (self.weights.vectors(population.probabilities) if self.weights is not None else {})


def traffic(outcome: RoundResult, there: Attendance) -> dict[str, float]:
    """Return what server and clients would exchange: the model to everyone invited, a delta from all who delivered.

    A correction's vectors go beside them; what a codec makes of either is counted where it was sent. In a round in
    which clients only work for themselves nothing travels.
    """
    if outcome.beside is None:
        return {"bytes_down": 0.0, "bytes_up": 0.0}
    down, up = (there.model_bytes + more for more in outcome.beside)
    counted = outcome.cohort.statistics.get(PAYLOAD)
    sent = len(outcome.cohort) * up if counted is None else counted
    return {"bytes_down": float(len(there.scheduled) * down), "bytes_up": float(sent)}


def add(one: Statistics, other: Statistics) -> dict[str, float]:
    """Add two statistics name by name.

    >>> add({"clients": 2, "loss": 1.5}, {"clients": 1})
    {'clients': 3, 'loss': 1.5}
    """
    return dict(one) | {name: one.get(name, 0) + value for name, value in other.items()}


def total(parts: Iterable[Statistics]) -> dict[str, float]:
    """Add many statistics, correctly rounded: the bits do not depend on the order or the grouping into nodes.

    >>> total([{"x": 1e100}, {"x": 1.0}, {"x": -1e100}])
    {'x': 1.0}
    """
    found: dict[str, list[float]] = {}
    for part in parts:
        for name, value in part.items():
            found.setdefault(name, []).append(value)
    return {name: fsum(values) for name, values in found.items()}


def square_norm(vector: npt.NDArray[np.float64]) -> float:
    """Return ||vector||^2 as a plain sum in one thread: the bits of a BLAS product depend on its number of threads.

    >>> square_norm(np.array([3.0, 4.0]))
    25.0
    """
    return float(np.einsum("i,i->", vector, vector))


def update_variance(count: float, square_norms: float, mean: npt.NDArray[np.float64]) -> float:
    """Return (1/n) sum_i ||delta_i - mean||^2 from the count n, sum_i ||delta_i||^2 and the mean (d,).

    By the parallel-axis identity this is sum_i ||delta_i||^2 / n - ||mean||^2. The two terms cancel when the deltas
    agree: what is left below the rounding error of sums over n clients and d entries is noise, and reported as 0. An
    empty cohort has variance 0.

    >>> update_variance(2, 0.0 + 4.0, np.array([1.0]))
    1.0
    """
    if count == 0:
        return 0.0
    mean_square = square_norms / count
    variance = mean_square - square_norm(mean)
    noise = (8 + count + len(mean) ** 0.5) * np.finfo(np.float64).eps * mean_square
    return float(variance) if not variance <= noise else 0.0
