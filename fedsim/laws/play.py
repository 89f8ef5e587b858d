"""A rule on a problem whose optimum is known, in float64 and without messages: what laws look at.

Client i minimises f_i(w) = k_i / 2 ||w - c_i||^2 by K steps of gradient descent; the optimum of sum_i a_i f_i is
sum_i a_i k_i c_i / sum_i a_i k_i. Everything that nodes do for a rule, its correction and their client halves is done
here in a few lines: sums over the cohort or all memories, products, memories by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fedsim.core import ClientHalf, Cohort, Correction, Population, Rule
from fedsim.core.client_half import Before, Given, Order, Trained
from fedsim.core.contracts import Ids
from fedsim.core.sums import DELTA, Asked, Dot, Vector


@dataclass(frozen=True)
class Problem:
    """N quadratics and the local work on them: K `steps` at rate `lr`, from `start`."""

    centers: Vector = field(default_factory=lambda: np.array([[0.0], [4.0]]))
    curvature: Vector = field(default_factory=lambda: np.array([1.0, 3.0]))
    steps: int = 2
    lr: float = 0.1
    start: float = 1.0
    probabilities: Vector | None = field(default_factory=lambda: np.full(2, 0.5))

    @property
    def population(self) -> Population:
        """Everybody alike."""
        count = len(self.centers)
        ones = np.ones(count, np.int64)
        return Population(ones, np.full(count, 1 / count), self.probabilities, ones * self.steps)

    @property
    def optimum(self) -> Vector:
        """Where sum_i a_i f_i is least, (d,)."""
        found: Vector = self.curvature @ self.centers / self.curvature.sum()
        return found


@dataclass(frozen=True)
class Verdict:
    """Whether a law holds, and what was seen. Where it does not `apply` nothing is broken, and `seen` says why."""

    law: str
    holds: bool
    seen: str
    applies: bool = True


Law = Callable[[Rule], Verdict]


def beside(law: str, why: str) -> Verdict:
    """Return the verdict of a law that does not apply."""
    return Verdict(law, holds=True, seen=why, applies=False)


@dataclass(frozen=True)
class Moment:
    """Where a run stands after a round: the model (d,), the states, the clients' memories (N, d), who has some (N,)."""

    round: int
    params: Vector
    rule: Any
    correction: Any
    memories: Mapping[str, Vector]
    seen: Any


def play(
    rule: Rule, problem: Problem, cohorts: Sequence[Sequence[int]], begin: Moment | None = None
) -> Iterator[Moment]:
    """Yield the moments before the first round and after each; server optimisers are left out.

    `begin` is a moment to go on from; `cohorts` are those of the rounds after it.
    """
    correction, people = rule.corrected_by(), problem.population
    halves: list[ClientHalf] = [half for half in (rule, correction) if half is not None and not half.idle]
    now = begin
    if now is None:
        params = np.full(problem.centers.shape[1], problem.start)
        start: Any = params.astype(np.float32)
        own = None if correction is None else correction.start(start, people)
        names = (DELTA, *(name for half in halves for name in half.memories))
        empty = {name: np.zeros(problem.centers.shape) for name in names}
        now = Moment(0, params, rule.start(start, people), own, empty, np.zeros(people.num_clients, bool))
        yield now
    for clients in cohorts:
        now = _round(rule, correction, halves, problem, now, np.array(clients, np.int64))
        yield now


def before(rule: Rule, problem: Problem, now: Moment, clients: Ids) -> tuple[Order, Before]:
    """Return what goes down in the round after a moment, and what its clients know before they train."""
    cohort, correction = Cohort(now.round + 1, clients), rule.corrected_by()
    order = rule.order(now.rule, cohort)
    if correction is not None:
        order = order.beside(correction.order(now.correction, cohort))
    return order, Before(
        round=cohort.round,
        params=now.params,
        own={name: rows[clients] for name, rows in now.memories.items() if name != DELTA},
        seen=now.seen[clients],
        shared=order.shared,
        numbers=order.numbers,
        rate=problem.lr * order.rate,
        gradient=problem.curvature[clients, None] * (now.params - problem.centers[clients]),
    )


def _round(
    rule: Rule, correction: Correction | None, halves: list[ClientHalf], problem: Problem, now: Moment, clients: Ids
) -> Moment:
    cohort = Cohort(now.round + 1, clients)
    order, lane = before(rule, problem, now, clients)
    given = [half.begin(lane) for half in halves]
    delta = _train(problem, now.params, clients, given, order.pull, problem.lr * order.rate)
    steps = np.full(len(clients), problem.steps)
    fisher = np.broadcast_to(problem.curvature[clients, None], delta.shape)
    trained = Trained(delta, steps, steps * problem.lr * order.rate, fisher=fisher)
    made = {DELTA: delta} | {name: rows for half in halves for name, rows in half.remember(lane, trained).items()}
    statistics = {"clients": float(len(clients)), "steps": float(steps.sum())}
    who = replace(cohort, statistics=statistics)
    sums = {name: summed(asked, clients, made, now.memories) for name, asked in rule.ask(now.rule, cohort).items()}
    state, update = rule.step(now.rule, who, sums)
    own = now.correction
    if correction is not None:
        asked = correction.ask(own, cohort)
        own, update = correction.step(
            own, who, {name: summed(one, clients, made, now.memories) for name, one in asked.items()}, update
        )
    memories, seen = {name: rows.copy() for name, rows in now.memories.items()}, now.seen.copy()
    for name in memories:
        memories[name][clients] = made[name]
    seen[clients] = True
    params = now.params if update is None else now.params + rule.server_rate(cohort.round) * update
    return Moment(cohort.round, params, state, own, memories, seen)


def _train(problem: Problem, params: Vector, clients: Ids, given: list[Given], pull: float, lr: float) -> Vector:
    """Return the clients' deltas (C, d)."""
    centers, curvature = problem.centers[clients], problem.curvature[clients, None]
    starts = [one.start for one in given if one.start is not None]
    start = np.broadcast_to(starts[0] if starts else params, centers.shape)
    shift = sum((one.shift for one in given if one.shift is not None), np.zeros(centers.shape))
    local = np.array(start)
    for _ in range(problem.steps):
        local -= lr * (curvature * (local - centers) + pull * (local - start) + shift)
    return local - params


def summed(asked: Asked, clients: Ids, made: Mapping[str, Vector], memories: Mapping[str, Vector]) -> Vector:
    """Return what nodes would add up: `made` (C, d) by the cohort, `memories` (N, d) from before the round."""
    if isinstance(asked, Dot):
        one, other = (made[DELTA] if word == DELTA else memories[DELTA][clients] for word in (asked.one, asked.other))
        return np.array([asked.weights @ (one * other).sum(axis=1)])
    memory: Any = memories.get(asked.of)
    if asked.over == "cohort":
        total: Vector = asked.fresh @ made[asked.of]
        return total if asked.stale is None or memory is None else total + asked.stale @ memory[clients]
    total = asked.fresh[clients] @ made[asked.of]
    absent = np.setdiff1d(np.arange(len(memory)), clients)
    return total if asked.stale is None else total + asked.stale[absent] @ memory[absent]


def bernoulli(rounds: int, clients: int, p: float, seed: int) -> list[list[int]]:
    """Return cohorts in which each client comes with probability p."""
    drawn = np.random.default_rng(seed).random((rounds, clients)) < p
    return [np.flatnonzero(row).tolist() for row in drawn]


def one_by_one(rounds: int, clients: int, seed: int) -> list[list[int]]:
    """Return cohorts of one client each, drawn uniformly."""
    return [[int(client)] for client in np.random.default_rng(seed).integers(clients, size=rounds)]
