"""What accumulates over a run, per client: who was seen when, and with what weight its vectors entered the updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import Diagnostics, Population, Strategy
from fedsim.core.contracts import CUTOFF, WEIGHT, Ids, Vector
from fedsim.participation.environment import Attendance
from fedsim.strategies.flower.coordinator import RoundResult

Arrays = dict[str, npt.NDArray[Any]]


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

    def after(self, outcome: RoundResult, there: Attendance) -> RunTotals:
        """Return the ledger after one more round."""
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
            self.traffic_bytes + sum(traffic(outcome, there).values()),
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
    """Return what server and clients would exchange: the model to everyone invited, a delta from all who delivered."""
    return {
        "bytes_down": float(len(there.scheduled) * there.model_bytes),
        "bytes_up": float(len(outcome.cohort) * there.model_bytes),
    }
