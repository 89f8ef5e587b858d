"""From what a round came to, to the numbers that are reported. Reads only; draws nothing; feeds nothing back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import Population, Rule
from fedsim.core.contracts import Parameters, Vector
from fedsim.engine.environment import Environment
from fedsim.metrics.statistics import total, update_variance
from strategies.flower.adapter import Outcome
from strategies.intervals import Intervals

CRASHES = ("raised", "non-finite", "shape", "timeout", "crash", "host")


@dataclass(frozen=True)
class Ledger:
    """What accumulates over a run: per client the last round seen (0: never) and the weight its vectors have had.

    `effective` adds up the coefficients with which client i's deltas entered updates, fresh and remembered, also
    inside a running mean: which objective did this run optimise? `virtual_s` and `traffic_bytes` are the simulated
    time and the bytes between server and clients so far.
    """

    last_seen: npt.NDArray[np.int64]
    effective: Vector
    virtual_s: float = 0.0
    traffic_bytes: float = 0.0

    @staticmethod
    def start(num_clients: int) -> Ledger:
        """Return the ledger before round 1."""
        return Ledger(np.zeros(num_clients, np.int64), np.zeros(num_clients))

    def after(self, rule: Rule, outcome: Outcome, environment: Environment) -> Ledger:
        """Return the ledger after one more round."""
        cohort = outcome.cohort
        used = rule.combination(outcome.before, cohort)
        effective = self.effective.copy()
        if used.stale is not None:
            effective += np.where(self.last_seen > 0, used.stale, 0.0)
        effective[cohort.clients] += used.fresh
        last_seen = self.last_seen.copy()
        last_seen[cohort.clients] = cohort.round
        return Ledger(
            last_seen,
            effective,
            self.virtual_s + (environment.arrivals.seconds if environment.arrivals else 0.0),
            self.traffic_bytes + sum(traffic(outcome, environment).values()),
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


def round_values(
    outcome: Outcome, ledger: Ledger, environment: Environment, rule: Rule, population: Population, params: Parameters
) -> dict[str, float]:
    """Return the metrics of one training round."""
    counted = total(reply.statistics for reply in outcome.replies)
    clients = counted.get("clients", 0.0)
    crashed = sum(failure.kind in CRASHES for failure in outcome.failures)
    values = {
        "cohort_size": float(len(outcome.cohort)),
        "empty_round": float(len(outcome.cohort) == 0),
        "num_invited": float(len(environment.scheduled)),
        "num_crashed": float(crashed),
        "num_lost": float(len(outcome.failures) - crashed),
        "params_norm": float(np.linalg.norm(params.astype(np.float64))),
        "update_norm": 0.0 if outcome.update is None else float(np.linalg.norm(outcome.update)),
        "objective_tv": ledger.total_variation(population.weights),
    }
    if clients:
        values["train_loss"] = counted["loss"] / clients
        if outcome.cohort_sum is not None:
            values["update_variance"] = update_variance(clients, counted["delta_square"], outcome.cohort_sum / clients)
    values |= traffic(outcome, environment)
    values["messages"] = 2.0 * len(outcome.replies)
    values["wire_bytes"] = float(sum(reply.nbytes for reply in outcome.replies) + len(outcome.replies) * params.nbytes)
    if environment.arrivals is not None:
        values["num_late"] = float(len(environment.arrivals.late))
        values["num_surplus"] = float(len(environment.arrivals.surplus))
        values["virtual_s"] = ledger.virtual_s
    if rule.remembers:
        ages = ledger.ages(outcome.cohort.round)
        values["memory_age_mean"] = float(ages.mean()) if len(ages) else 0.0
        values["memory_age_max"] = float(ages.max(initial=0))
    values |= interval_values(outcome.before, outcome.cohort.clients, rule, population)
    return values


def traffic(outcome: Outcome, environment: Environment) -> dict[str, float]:
    """Return what server and clients would exchange: the model to everyone invited, a delta from all who delivered."""
    return {
        "bytes_down": float(len(environment.scheduled) * environment.model_bytes),
        "bytes_up": float(len(outcome.cohort) * environment.model_bytes),
    }


def interval_values(state: Any, clients: npt.NDArray[np.int64], rule: Rule, population: Population) -> dict[str, float]:
    """Return how FedAU's (or an estimated) w_i compares with 1/p_i, when the p_i are known; cutoffs of this round."""
    found = state if isinstance(state, Intervals) else getattr(getattr(state, "inverse", state), "estimator", None)
    if found is None:
        return {}
    values = {}
    cutoff = getattr(rule, "cutoff", None)
    if cutoff is not None:
        absent = np.ones(population.num_clients, bool)
        absent[clients] = False
        values["num_cutoffs"] = float(np.count_nonzero(absent & (found.open + 1 == cutoff)))
    if population.probabilities is not None:
        relative = found.weight * population.probabilities
        values["weight_bias"] = float(relative.mean() - 1.0)
        values["weight_variance"] = float(((relative - relative.mean()) ** 2).mean())
    return values
