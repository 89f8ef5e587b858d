"""Laws of corrections: where they end, what their controls add up to, and what they do before anything is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fedsim.core import Rule
from fedsim.core.client_half import Trained
from fedsim.laws.play import Moment, Problem, Verdict, before, bernoulli, beside, one_by_one, play

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


def exact_where_claimed(rule: Rule) -> Verdict:
    """*exactness*: heterogeneous quadratics end at their optimum, whoever comes, with several local steps."""
    correction = rule.corrected_by()
    if correction is None or not correction.exact():
        return beside("exactness", "there is no correction" if correction is None else "not claimed (`exact`)")
    return reaches_the_optimum(rule)


def off_is_the_rule(rule: Rule) -> Verdict:
    """*off*: a correction at zero strength leaves the rule its own bits."""
    correction = rule.corrected_by()
    if correction is None or correction.off is None:
        return beside("off", "there is no correction" if correction is None else "no option turns it off (`off`)")
    if rule.correction is None:
        return beside("off", "the correction is the rule's own")
    cohorts = [*bernoulli(12, 2, 0.5, 3), [], [0, 1]]
    without = replace(rule, correction=None)
    turned = replace(rule, correction=replace(correction, **{correction.off: 0.0}))
    ends = [[now.params for now in play(one, Problem(), cohorts)] for one in (without, turned)]
    away = max(float(np.abs(one - other).max()) for one, other in zip(*ends, strict=True))
    same = [one.tobytes() for one in ends[0]] == [one.tobytes() for one in ends[1]]
    return Verdict("off", same, f"{correction.off}: 0 moves the model by at most {away:g} in {len(cohorts)} rounds")


def memories_wait(rule: Rule) -> Verdict:
    """*delay*: a client that was away for 50 rounds comes back to what it left, and all stays finite."""
    correction = rule.corrected_by()
    if correction is None or not correction.memories:
        return beside("delay", "there is no correction" if correction is None else "clients remember nothing for it")
    moments = list(play(rule, Problem(), [[0], *[[1], []] * 25, [0], [0, 1]]))
    kept = {name: {now.memories[name][0].tobytes() for now in moments[1:51]} for name in correction.memories}
    finite = bool(np.isfinite(moments[-1].params).all())
    seen = f"{', '.join(kept)} of client 0 as left; then at {moments[-1].params.tolist()}"
    return Verdict("delay", finite and all(len(found) == 1 for found in kept.values()), seen)


def rows_are_apart(rule: Rule) -> Verdict:
    """*rows*: what a client trains with and remembers is its own affair: alone as among others."""
    problem, correction, everybody = Problem(), rule.corrected_by(), np.arange(2)
    if correction is None or correction.idle:
        return beside("rows", "there is no correction" if correction is None else "clients do nothing for it")
    *_, now = play(rule, problem, [[0], [1], [0, 1]])
    _, lane = before(rule, problem, now, everybody)
    delta = np.array([[0.25], [-1.5]])
    steps = np.full(2, problem.steps)
    made = correction.remember(lane, Trained(delta, steps, steps * lane.rate))
    given, off = correction.begin(lane), 0.0
    for client in range(2):
        own = slice(client, client + 1)
        alone = replace(
            lane,
            own={name: rows[own] for name, rows in lane.own.items()},
            seen=lane.seen[own],
            numbers={name: values[own] for name, values in lane.numbers.items()},
            gradient=None if lane.gradient is None else lane.gradient[own],
        )
        kept = correction.remember(alone, Trained(delta[own], steps[own], steps[own] * lane.rate))
        one = correction.begin(alone)
        pairs = [(rows[own], kept[name]) for name, rows in made.items()]
        for both, single in ((given.shift, one.shift), (given.start, one.start)):
            pairs += [] if both is None or single is None else [(both[own], single)]
        off = max([off, *(float(np.abs(a - b).max()) for a, b in pairs)])
    return Verdict("rows", off == 0.0, f"shifts, starts and memories are at most {off:.1e} apart")


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
    if not told:
        return beside("means", "it tells of no mean")
    return Verdict("means", bool(worst < NEAR), f"at most {worst:.1e} from sum_i a_i m_i in 120 rounds")


def first_round_is_the_rules(rule: Rule) -> Verdict:
    """*first round*: before anything is remembered nothing shifts the gradients, and everybody starts at the model."""
    problem, correction, everybody = Problem(), rule.corrected_by(), np.arange(2)
    if correction is None:
        return beside("first round", "there is no correction")
    _, lane = before(rule, problem, next(iter(play(rule, problem, []))), everybody)
    given = correction.begin(lane)
    shift = 0.0 if given.shift is None else float(np.abs(given.shift).max())
    away = 0.0 if given.start is None else float(np.abs(given.start - problem.start).max())
    return Verdict("first round", shift == away == 0.0, f"gradients shifted by {shift:g}, starts moved by {away:g}")
