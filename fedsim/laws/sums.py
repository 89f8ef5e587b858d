"""Laws of what a rule asks for: sums that nodes can add up, whose coefficients say what the update is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from fedsim.core import Cohort, Rule
from fedsim.core.coefficients import coefficients, swapped
from fedsim.core.contracts import Ids
from fedsim.core.sums import DELTA, Dot, LinearSum, Vector
from fedsim.laws.play import Moment, Problem, Verdict, beside, play, summed

COHORTS = [[0, 1, 4], [], [2], [0, 3, 4], [1, 2], [0, 1, 2, 3, 4]]
CHANCES = (1.0, 0.3, 0.5, 0.9, 0.2)
NEAR = 1e-9


def five() -> Problem:
    """Return a problem of five clients in three dimensions, no two alike."""
    drawn = np.random.default_rng(11)
    centers, curvature = drawn.normal(size=(5, 3)), drawn.uniform(0.5, 2.0, size=5)
    return Problem(centers, curvature, probabilities=np.array(CHANCES))


def _asked(rule: Rule) -> list[tuple[Moment, Any]]:
    """Return moments of a run with the cohorts of the rounds after them."""
    moments = list(play(rule, five(), COHORTS))
    return [(now, np.array(clients, np.int64)) for now, clients in zip(moments, COHORTS, strict=False)]


def adds_up(rule: Rule) -> Verdict:
    """*adds up*: what is asked are sums that any split of the clients over nodes brings to the same."""
    worst, count = 0.0, 0
    for now, clients in _asked(rule):
        sums: Mapping[str, Any] = rule.ask(now.rule, Cohort(now.round + 1, clients))
        names = {*now.memories, *(one.of for one in sums.values() if isinstance(one, LinearSum))}
        made = {name: np.ones_like(now.memories[DELTA])[clients] * (clients[:, None] + 0.3) for name in names}
        for name, one in sums.items():
            if not isinstance(one, LinearSum | Dot):
                seen = f"{name!r} is a {type(one).__name__}, neither LinearSum nor Dot"
                return Verdict("adds up", holds=False, seen=seen)
            given = (
                [one.weights] if isinstance(one, Dot) else [part for part in (one.fresh, one.stale) if part is not None]
            )
            if not all(np.isfinite(part).all() for part in given):
                return Verdict("adds up", holds=False, seen=f"{name!r} has coefficients that are not finite")
            if not isinstance(one, Dot) and one.over != "cohort":
                continue  # over all memories: a node sums what it holds
            count += 1
            whole = summed(one, clients, made, now.memories)
            split = sum(_part(one, clients, made, now, node) for node in range(3))
            worst = max(worst, float(np.abs(whole - split).max()))
    return Verdict("adds up", worst < NEAR, f"{count} sums over three nodes are at most {worst:.1e} off the whole")


def _part(one: Any, clients: Ids, made: dict[str, Vector], now: Moment, node: int) -> Vector:
    here = np.flatnonzero(clients % 3 == node)
    cut = {name: None if (v := getattr(one, name, None)) is None else v[here] for name in ("fresh", "stale", "weights")}
    some = replace(one, **{name: value for name, value in cut.items() if value is not None})
    return summed(some, clients[here], {name: rows[here] for name, rows in made.items()}, now.memories)


def stands_alone(rule: Rule) -> Verdict:
    """*who replies*: the coefficient of a client does not depend on who else is asked, or will reply."""
    compared = 0
    for now, clients in _asked(rule):
        round = now.round + 1
        for left_out in clients.tolist():
            rest = np.flatnonzero(clients != left_out)
            whole, fewer = (rule.ask(now.rule, Cohort(round, some)) for some in (clients, clients[rest]))
            for name, one in whole.items():
                full, less = _of_each(one), _of_each(fewer.get(name))
                for part, values in full.items():
                    expected = values[rest] if len(values) == len(clients) and _by_cohort(one) else values
                    compared += 1
                    if part not in less or not np.array_equal(expected, less[part]):
                        seen = (
                            f"round {round}, {name!r}: {_told(expected)} among {clients.tolist()}, "
                            f"{_told(less.get(part))} without {left_out}"
                        )
                        return Verdict("who replies", holds=False, seen=seen)
    return Verdict("who replies", holds=True, seen=f"{compared} vectors of coefficients, each with one client less")


def _of_each(one: Any) -> dict[str, Vector]:
    found = {name: getattr(one, name, None) for name in ("fresh", "stale", "weights")}
    return {name: value for name, value in found.items() if value is not None}


def _by_cohort(one: Any) -> bool:
    return isinstance(one, Dot) or one.over == "cohort"


def _told(values: Vector | None) -> str:
    return "nothing" if values is None else str([float(f"{value:.4g}") for value in values])


def moves_by_its_coefficients(rule: Rule) -> Verdict:
    """*linear*: the update is the combination of deltas and memories that the coefficients say."""
    if not rule.linear:
        return beside("linear", "not claimed (`linear`)")
    if rule.corrected_by() is not None:
        return beside("linear", "said of the rule without its correction")
    problem, worst = five(), 0.0
    weights, moments = problem.population.weights, list(play(rule, problem, COHORTS))
    for now, after, clients in zip(moments, moments[1:], COHORTS, strict=False):
        cohort = Cohort(after.round, np.array(clients, np.int64))
        used = coefficients(rule, now.rule, cohort, weights)
        expected = used.fresh @ after.memories[DELTA][cohort.clients]
        if used.stale is not None:
            expected = expected + used.stale @ now.memories[DELTA]
        moved = after.params - now.params
        worst = max(worst, float(np.abs(moved - rule.server_rate(after.round) * expected).max()))
    return Verdict("linear", worst < NEAR, f"at most {worst:.1e} off its coefficients in {len(COHORTS)} rounds")


def is_unbiased(rule: Rule) -> Verdict:
    """*unbiased*: the mean update over all cohorts that may come is that of everybody."""
    if not rule.unbiased():
        return beside("unbiased", "not claimed (`unbiased`)")
    if not rule.linear:
        return beside("unbiased", "tried for linear rules only")
    people, drawn = five().population, np.random.default_rng(5)
    deltas, memories = drawn.normal(size=(2, 5, 3))
    state = rule.start(np.zeros(3, np.float32), people)
    held = rule.memory_mean(state)
    if held is not None:
        state = swapped(state, held, people.weights @ memories)
    mean = np.zeros(3)
    for present in product([0, 1], repeat=5):
        clients = np.flatnonzero(present)
        cohort = Cohort(3, clients)
        sums = {
            name: summed(asked, clients, {DELTA: deltas[clients]}, {DELTA: memories})
            for name, asked in rule.ask(state, cohort).items()
        }
        _, update = rule.step(state, cohort, sums)
        if update is not None:
            mean += float(np.prod(np.where(present, CHANCES, 1 - np.array(CHANCES)))) * update
    off = float(np.abs(mean - people.weights @ deltas).max())
    return Verdict("unbiased", off < NEAR, f"the mean over 32 cohorts is {off:.1e} off sum_i a_i delta_i")
