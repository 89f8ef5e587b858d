"""Laws of corrections: where they end, what their controls add up to, and what they do before anything is known."""

from __future__ import annotations

import numpy as np

from fedsim.core import Rule
from fedsim.laws.play import Moment, Problem, Verdict, before, bernoulli, one_by_one, play

ROUNDS, NEAR = 1500, 1e-9


def reaches_the_optimum(rule: Rule, problem: Problem | None = None) -> Verdict:
    """*exactness*: heterogeneous quadratics end at their optimum, whoever comes, with several local steps.

    Under Bernoulli p = 0.5 and with one random client a round, both for 1500 rounds. FedAvg ends elsewhere even with
    everybody: at 2.9142857 instead of 3.
    """
    problem, seen, holds = problem or Problem(), [], True
    worlds = {"Bernoulli 0.5": bernoulli(ROUNDS, 2, 0.5, 7), "one random client": one_by_one(ROUNDS, 2, 7)}
    for name, cohorts in worlds.items():
        last = _last(rule, problem, cohorts)
        with np.errstate(invalid="ignore", over="ignore"):
            off = float(np.abs(last.params - problem.optimum).max())
        holds &= bool(off < NEAR)
        seen.append(f"{name}: {float(last.params[0]):.10g}, {off:.1e} from the optimum {float(problem.optimum[0]):g}")
    return Verdict("exactness", holds, "; ".join(seen))


def _last(rule: Rule, problem: Problem, cohorts: list[list[int]]) -> Moment:
    with np.errstate(invalid="ignore", over="ignore"):  # a wrong correction may diverge
        *_, last = play(rule, problem, cohorts)
    return last


def controls_are_means(rule: Rule) -> Verdict:
    """*means*: what a correction says is the mean of a memory is the mean, after every round."""
    correction, problem, worst = rule.corrected_by(), Problem(), 0.0
    cohorts = [*bernoulli(60, 2, 0.5, 3), *one_by_one(60, 2, 3)]
    weights, told = problem.population.weights, False
    for now in play(rule, problem, cohorts):
        means = {} if correction is None else correction.memory_means(now.correction)
        for name, mean in means.items():
            told = True
            with np.errstate(invalid="ignore", over="ignore"):
                worst = max(worst, float(np.abs(mean - weights @ now.memories[name]).max()))
    seen = f"at most {worst:.1e} from sum_i a_i m_i in 120 rounds" if told else "it tells of no mean"
    return Verdict("means", bool(worst < NEAR), seen)


def first_round_is_the_rules(rule: Rule) -> Verdict:
    """*first round*: before anything is remembered nothing shifts the gradients, and everybody starts at the model."""
    problem, correction, everybody = Problem(), rule.corrected_by(), np.arange(2)
    if correction is None:
        return Verdict("first round", holds=True, seen="there is no correction")
    _, lane = before(rule, problem, next(iter(play(rule, problem, []))), everybody)
    given = correction.begin(lane)
    shift = 0.0 if given.shift is None else float(np.abs(given.shift).max())
    away = 0.0 if given.start is None else float(np.abs(given.start - problem.start).max())
    return Verdict("first round", shift == away == 0.0, f"gradients shifted by {shift:g}, starts moved by {away:g}")
