r"""MimiC: correct each delta by how far the client's last one was from the update of its round.

Sun, Mao & Zhang, "MimiC: combating client dropouts in federated learning by mimicking central updates", IEEE
Transactions on Mobile Computing 2024, arXiv 2306.12212, Algorithm 1, and the authors' public code. With h_i the delta
that client i sent last and V_i the update v of that round, both 0 before it first came:

    v = (1/|S|) sum_S (delta_i - h_i + V_i);    then, on S only:  h_i <- delta_i,  V_i <- v

V_i - h_i is the paper's correction variable c_i. When the same clients come again, all of S, v is what it was plus the
mean change of their deltas. The objective is uniform (a_i = 1/N); needs no p_i.

State: in which round each client came last, O(N), and the update of every round in which somebody did, O(R d) with R at
most the longest absence; the memories h_i, N x d, live with the clients' hosts. Empty cohort: nothing arrives, nothing
moves. V_i is of the past and no combination of memories, so that no effective weights are told, and a probe draws.
Under a changing rate h_i and V_i are used as they were (`memory: {of: update}`, the default), as in the authors' code.
Departures from the paper: it lets everybody come in round 1, here a client starts with the correction 0 whenever it
first comes. The authors' code takes V_i from the model's move, which is v at `server_lr: 1`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from fedsim.core.contracts import Cohort, Ids, LinearSum, MemoryOf, Parameters, Population, Rule, Sums, Vector
from fedsim.strategies.inverse import uniform_only


@dataclass(frozen=True)
class Updates:
    """The round in which each client came last (N,), 0 for never; rounds (R,) ascending with their updates (R, d)."""

    last: Ids
    rounds: Ids
    updates: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MimiC(Rule):
    """Correct each delta by how far the client's last one was from the update of its round (Sun et al. 2024).

    >>> rule = MimiC()
    >>> state = rule.start(np.zeros(1, np.float32), Population(np.ones(2, np.int64), np.full(2, 0.5)))
    >>> state, update = rule.step(state, Cohort(1, np.array([0, 1])), {"update": np.array([6.0])})
    >>> update.tolist(), rule.step(state, Cohort(2, np.array([0])), {"update": np.array([1.0])})[1].tolist()
    ([3.0], [4.0])
    """

    remembers: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    memory_of: ClassVar[MemoryOf] = "update"

    name: Literal["mimic"] = "mimic"

    def problems(self) -> Iterator[tuple[str, str]]:
        """The paper's mean is uniform."""
        yield from uniform_only(self.weights, "mimic")

    def start(self, params: Parameters, population: Population) -> Updates:
        """Start with nobody seen."""
        never = np.zeros(population.num_clients, np.int64)
        return Updates(never, np.zeros(0, np.int64), np.zeros((0, len(params))))

    def ask(self, state: Updates, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for sum (delta_i - h_i)."""
        ones = np.ones(len(cohort))
        return {"update": LinearSum(ones, -ones)}

    def step(self, state: Updates, cohort: Cohort, sums: Sums) -> tuple[Updates, Vector | None]:
        """Add the updates that the cohort's last deltas belong to; forget those that nobody belongs to any more."""
        if len(cohort) == 0:
            return state, None
        counts = np.array([np.sum(state.last[cohort.clients] == round) for round in state.rounds], np.float64)
        update = (sums["update"] + counts @ state.updates) / len(cohort)
        last = state.last.copy()
        last[cohort.clients] = cohort.round
        kept = np.isin(state.rounds, last)
        rounds = np.append(state.rounds[kept], cohort.round)
        return Updates(last, rounds, np.vstack([state.updates[kept], update])), update
