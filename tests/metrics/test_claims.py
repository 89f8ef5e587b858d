"""A claim is judged by its paired interval: wholly on one side, wholly on the other, or neither."""

from __future__ import annotations

from typing import Any

import pytest

from fedsim.analysis.cards.claims import ROUNDS, Claim, judge, judge_rounds
from fedsim.analysis.paired import Reached

BASE = [0.50, 0.60, 0.70]
BETTER = [0.60, 0.71, 0.80]
"""Differences 0.10, 0.11, 0.10: the mean is 0.1033, half the 95 % interval 4.303 x 0.00577 / sqrt 3 = 0.0143."""


def claim(**given: Any) -> Claim:
    return Claim(**{"says": "so", "of": "a", **given})


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({"above": "b"}, "holds"),
        ({"below": "b"}, "fails"),
        ({"above": "b", "by": 0.05}, "holds"),
        ({"above": "b", "by": 0.1}, "undecided"),
        ({"above": "b", "by": 0.2}, "fails"),
        ({"below": "b", "by": -0.2}, "holds"),  # not worse by more than 0.2
        ({"within": "b", "by": 0.2}, "holds"),
        ({"within": "b", "by": 0.05}, "fails"),
        ({"within": "b", "by": 0.11}, "undecided"),
        ({"above": "b", "times": 2.0}, "fails"),
        ({"above": "b", "times": 0.5}, "holds"),
        ({"above": 0.2}, "holds"),
        ({"below": 0.2}, "fails"),
        ({"above": 0.7}, "undecided"),
    ],
)
def test_the_verdict_follows_from_the_side_of_the_interval(given: dict[str, Any], verdict: str) -> None:
    assert judge(claim(**given), BETTER, BASE).verdict == verdict


def test_one_seed_decides_nothing_however_large_the_difference() -> None:
    judged = judge(claim(above="b"), [0.99], [0.01])
    assert (judged.words, judged.note) == ("undecided at this power", "one seed has no interval")
    assert judge(claim(above="b"), [float("nan")] * 3, BASE).note == "nothing was measured"


def test_a_seed_that_failed_is_left_out_in_pairs() -> None:
    judged = judge(claim(above="b"), [*BETTER, float("nan")], [*BASE, 0.1])
    assert (judged.verdict, judged.found.count, judged.note) == ("holds", 3, "1 seed without a value left out")


def test_rounds_to_the_target_are_paired_where_all_got_there() -> None:
    fast, slow = ([Reached(n) for n in rounds] for rounds in ((50, 60, 50), (90, 101, 90)))
    faster = claim(metric=ROUNDS, below="b")
    assert judge_rounds(faster, fast, slow).verdict == "holds"
    assert judge_rounds(faster, slow, fast).verdict == "fails"
    assert judge_rounds(faster, fast[:1], slow[:1]).verdict == "undecided"


def test_runs_that_never_got_there_are_judged_by_the_log_rank_test() -> None:
    fast, never = [Reached(50)] * 4, [Reached(100, censored=True)] * 4
    holds = judge_rounds(claim(metric=ROUNDS, below="b"), fast, never)
    assert (holds.verdict, holds.note) == ("holds", "4 runs never reached the target; log-rank test, p = 0.0082")
    assert judge_rounds(claim(metric=ROUNDS, above="b"), fast, never).verdict == "fails"
    assert judge_rounds(claim(metric=ROUNDS, above="b"), never, fast).verdict == "holds"
    assert judge_rounds(claim(metric=ROUNDS, below="b"), never, never).verdict == "undecided"
    margin = judge_rounds(claim(metric=ROUNDS, below="b", by=10), fast, never)
    assert (margin.verdict, "no difference can be formed" in margin.note) == ("undecided", True)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({}, "of"),
        ({"above": "b", "below": "b"}, "below"),
        ({"within": "b"}, "by"),
        ({"above": 0.5, "times": 2.0}, "times"),
        ({"above": "a"}, "above"),
        ({"metric": ROUNDS, "below": 10.0}, "below"),
        ({"metric": "accuracy", "above": "b"}, "metric"),
    ],
)
def test_a_claim_that_says_nothing_is_refused_at_its_key(given: dict[str, Any], key: str) -> None:
    assert [found for found, _ in claim(**given).problems()] == [key]
