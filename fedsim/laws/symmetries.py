"""Symmetries of a rule: what it must not notice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fedsim.core import Rule
from fedsim.core.sums import Vector
from fedsim.laws.play import Problem, Verdict, beside, play
from fedsim.laws.sums import COHORTS, five

NEAR = 1e-9
RENAMED = np.array([3, 0, 4, 1, 2])
"""The client that has each new name."""


def names_do_not_matter(rule: Rule) -> Verdict:
    """*names*: clients under other numbers bring the model to the same place."""
    problem = five()
    assert problem.probabilities is not None
    other = replace(
        problem,
        centers=problem.centers[RENAMED],
        curvature=problem.curvature[RENAMED],
        probabilities=problem.probabilities[RENAMED],
    )
    called = [sorted(int(np.flatnonzero(client == RENAMED)[0]) for client in clients) for clients in COHORTS]
    off = _apart(_way(rule, problem, COHORTS), _way(rule, other, called))
    return Verdict("names", off < NEAR, f"the model is at most {off:.1e} elsewhere")


def place_does_not_matter(rule: Rule) -> Verdict:
    """*translation*: everything moved by 8 ends 8 further: a rule sees deltas, not models."""
    if rule.corrected_by() is not None:
        return beside("translation", "said of the rule without its correction")
    problem = five()
    other = replace(problem, centers=problem.centers + 8.0, start=problem.start + 8.0)
    off = _apart(_way(rule, problem, COHORTS) + 8.0, _way(rule, other, COHORTS))
    return Verdict("translation", off < NEAR, f"the model is at most {off:.1e} elsewhere")


def size_does_not_matter(rule: Rule) -> Verdict:
    """*scale*: deltas twice as long give updates twice as long."""
    if not rule.linear or rule.corrected_by() is not None:
        why = "said of linear rules" if not rule.linear else "said of the rule without its correction"
        return beside("scale", why)
    problem = five()
    other = replace(problem, centers=2.0 * problem.centers, start=2.0 * problem.start)
    off = _apart(2.0 * _way(rule, problem, COHORTS), _way(rule, other, COHORTS))
    return Verdict("scale", off < NEAR, f"the model is at most {off:.1e} elsewhere")


def _way(rule: Rule, problem: Problem, cohorts: list[list[int]]) -> Vector:
    return np.array([now.params for now in play(rule, problem, cohorts)])


def _apart(one: Vector, other: Vector) -> float:
    return float(np.abs(one - other).max())
