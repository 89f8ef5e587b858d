"""From what a round came to, to the numbers that are reported. Reads only; draws nothing; feeds nothing back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import Population, Rule
from fedsim.core.contracts import Parameters, Vector
from fedsim.metrics.statistics import total, update_variance
from strategies.flower.adapter import Outcome
from strategies.intervals import Intervals

CRASHES = ("raised", "non-finite", "shape", "timeout", "crash", "host")


@dataclass(frozen=True)
class Ledger:
    """What accumulates over a run, per client: last round seen (0: never) and the weight its vectors have had.

    `effective` adds up the coefficients with which client i's deltas entered updates, fresh and remembered, also
    inside a running mean: which objective did this run optimise?
    """

    last_seen: npt.NDArray[np.int64]
    effective: Vector

    @staticmethod
    def start(num_clients: int) -> Ledger:
        """Return the ledger before round 1."""
        return Ledger(np.zeros(num_clients, np.int64), np.zeros(num_clients))

    def after(self, rule: Rule, outcome: Outcome) -> Ledger:
        """Return the ledger after one more round."""
        cohort = outcome.cohort
        used = rule.combination(outcome.before, cohort)
        effective = self.effective.copy()
        if used.stale is not None:
            effective += np.where(self.last_seen > 0, used.stale, 0.0)
        effective[cohort.clients] += used.fresh
        last_seen = self.last_seen.copy()
        last_seen[cohort.clients] = cohort.round
        return replace(self, last_seen=last_seen, effective=effective)

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
    outcome: Outcome, ledger: Ledger, rule: Rule, population: Population, params: Parameters, num_sums: int
) -> dict[str, float]:
    """Return the metrics of one training round."""
    counted = total(reply.statistics for reply in outcome.replies)
    clients = counted.get("clients", 0.0)
    crashed = sum(failure.kind in CRASHES for failure in outcome.failures)
    values = {
        "cohort_size": float(len(outcome.cohort)),
        "empty_round": float(len(outcome.cohort) == 0),
        "num_invited": float(len(outcome.invited)),
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
    values |= traffic(outcome, len(params), num_sums)
    if rule.remembers:
        ages = ledger.ages(outcome.cohort.round)
        values["memory_age_mean"] = float(ages.mean()) if len(ages) else 0.0
        values["memory_age_max"] = float(ages.max(initial=0))
    values |= interval_values(outcome.before, outcome.cohort.clients, rule, population)
    return values


def traffic(outcome: Outcome, size: int, num_sums: int) -> dict[str, float]:
    """Return bytes and messages of a round, one message a node each way: a function of the scenario alone."""
    messages = len(outcome.replies)
    per_client = 8 + 8 * num_sums * 2
    return {
        "messages": float(2 * messages),
        "bytes_down": float(messages * 4 * size + len(outcome.invited) * per_client),
        "bytes_up": float(sum(reply.nbytes for reply in outcome.replies)),
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
