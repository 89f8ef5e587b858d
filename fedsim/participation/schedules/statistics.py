"""What a process does over a number of rounds, summarised in one pass: O(N + R) memory, O(|S_r|) work a round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedsim.core import Process
from fedsim.core.contracts import Vector
from fedsim.participation.processes.bernoulli import BernoulliProcess
from fedsim.participation.processes.full import FullProcess
from fedsim.participation.processes.markov import MarkovProcess
from fedsim.participation.processes.uniform import UniformProcess
from fedsim.participation.select import SelectedProcess

Counts = npt.NDArray[np.int64]
BANDS, COLUMNS = 240, 480


@dataclass(frozen=True, eq=False)
class ScheduleSummary:
    """The statistics of rounds 1..R of a process over N clients.

    Attributes
    ----------
    sizes : (R,) cohort sizes.
    taken : (N,) rounds in which each client took part.
    gaps : (R + 1,) how often g rounds lay from one participation of a client to its next (g = 1: the very next round).
    mean_age, worst_age : (R,) rounds since the last participation, after each round, over all clients; a client that
        was never there has the age r.
    stayed, left, came : how often a client was there in round r and r + 1, only in r, only in r + 1.
    presence : (bands, columns) share of client-rounds present; bands of consecutive ids, columns of consecutive
        rounds. One client a band and one round a column as long as they are at most 240 and 480.
    probabilities : (N,) what the process says of itself, or None.
    empty_probability : P(empty round) in closed form, where clients are independent or the size is fixed; else None.
    """

    sizes: Counts
    taken: npt.NDArray[np.int32]
    gaps: Counts
    mean_age: Vector
    worst_age: Counts
    stayed: int
    left: int
    came: int
    presence: Vector
    probabilities: Vector | None
    empty_probability: float | None

    @property
    def num_clients(self) -> int:
        """N."""
        return len(self.taken)

    @property
    def rounds(self) -> int:
        """R."""
        return len(self.sizes)

    @property
    def rates(self) -> Vector:
        """Realised participation rates (N,)."""
        return self.taken / self.rounds

    @property
    def mean_run_present(self) -> float:
        """Mean rounds that a client stays: 1 / P(present -> away) as counted; nan when nobody ever left.

        Counting transitions instead of finished runs, long runs that the horizon cuts off do not bias it.
        """
        return (self.stayed + self.left) / self.left if self.left else float("nan")

    @property
    def mean_run_away(self) -> float:
        """Mean rounds that a client stays away: 1 / P(away -> present) as counted; nan when nobody ever came back."""
        away = self.num_clients * (self.rounds - 1) - self.stayed - self.left
        return away / self.came if self.came else float("nan")


def summarise(process: Process, rounds: int) -> ScheduleSummary:
    """Run a process through rounds 1..`rounds` and count."""
    clients = process.num_clients
    bands, columns = min(clients, BANDS), min(rounds, COLUMNS)
    sizes, worst = np.zeros(rounds, np.int64), np.zeros(rounds, np.int64)
    mean_age, gaps = np.zeros(rounds), np.zeros(rounds + 1, np.int64)
    taken, last = np.zeros(clients, np.int32), np.zeros(clients, np.int32)
    presence = np.zeros((bands, columns))
    stayed, sum_last, oldest, oldest_left = 0, 0, 0, clients
    for round in range(1, rounds + 1):
        cohort = process.cohort(round)
        before = last[cohort]
        since = round - before[before > 0]
        if since.size:
            gaps[: since.max() + 1] += np.bincount(since)
        stayed += int(np.count_nonzero(since == 1))
        sum_last += round * len(cohort) - int(before.sum(dtype=np.int64))
        # The smallest last round only grows: count down those who still have it, look again when none is left.
        oldest_left -= int(np.count_nonzero(before == oldest))
        taken[cohort] += 1
        last[cohort] = round
        if oldest_left == 0:
            oldest = int(last.min())
            oldest_left = int(np.count_nonzero(last == oldest))
        sizes[round - 1] = len(cohort)
        mean_age[round - 1] = round - sum_last / clients
        worst[round - 1] = round - oldest
        presence[:, (round - 1) * columns // rounds] += np.bincount(cohort * bands // clients, minlength=bands)
    presence /= np.outer(_share_sizes(clients, bands), _share_sizes(rounds, columns))
    return ScheduleSummary(
        sizes=sizes,
        taken=taken,
        gaps=gaps,
        mean_age=mean_age,
        worst_age=worst,
        stayed=stayed,
        left=int(sizes[:-1].sum()) - stayed,
        came=int(sizes[1:].sum()) - stayed,
        presence=presence,
        probabilities=process.probabilities,
        empty_probability=_empty_probability(process),
    )


def correlations(rates: Vector, label_counts: Counts) -> Vector:
    """Return the correlation over clients between p_i and the share of each label in the client's data (C,).

    Clients without examples are left out; nan where one of the two does not vary.
    """
    filled = label_counts.sum(axis=1) > 0
    shares = label_counts[filled] / label_counts[filled].sum(axis=1, keepdims=True)
    rates = rates[filled] - rates[filled].mean()
    shares = shares - shares.mean(axis=0)
    scale = np.sqrt((rates**2).sum() * (shares**2).sum(axis=0))
    found: Vector = np.divide(rates @ shares, scale, out=np.full(shares.shape[1], np.nan), where=scale > 1e-12)
    return found


def label_shares(rates: Vector, label_counts: Counts) -> tuple[Vector, Vector]:
    """Return each label's share of all examples, and of the examples of those who come (weighted by p_i), (C,) each."""
    total = label_counts.sum(axis=0)
    seen = rates @ label_counts
    return total / max(total.sum(), 1), seen / max(seen.sum(), 1e-300)


def _share_sizes(total: int, parts: int) -> Vector:
    """Return how many of `total` consecutive places k fall into each part k * parts // total."""
    edges = -(-np.arange(parts + 1) * total // parts)
    return np.diff(edges).astype(np.float64)


def _empty_probability(process: Process) -> float | None:
    if isinstance(process, SelectedProcess):
        return _empty_probability(process.inner)  # who is there is selected from: nobody, where nobody is
    if isinstance(process, FullProcess | UniformProcess):
        return 0.0
    if isinstance(process, BernoulliProcess | MarkovProcess):
        with np.errstate(divide="ignore"):
            return float(np.exp(np.log1p(-process.probabilities).sum()))
    return None
