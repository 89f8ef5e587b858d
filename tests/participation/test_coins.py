"""Coins are exact: the limits of 32 bits, the numbers between them, and nobody's coin moves for a newcomer."""

import numpy as np
import pytest

from fedsim.participation.coins import Chances, Toss, toss


def test_a_probability_is_split_without_loss() -> None:
    p = np.array([0.0, 1e-12, 0.1, 0.5, 1 - 2**-40, 1.0])
    chances = Chances.of(p)
    np.testing.assert_array_equal((chances.whole + chances.rest) / 2**32, p)
    assert chances.rest.min() >= 0
    assert chances.rest.max() <= 1


def test_certain_and_impossible_coins_show_one_side_at_every_bit_pattern() -> None:
    extremes = Toss((1, "test", 1), np.array([0, 1, 2**31, 2**32 - 1], dtype=np.uint32))
    assert extremes.below(Chances.of(1.0)).all()
    assert not extremes.below(Chances.of(0.0)).any()


def test_bits_at_the_limit_are_decided_by_further_bits() -> None:
    tied = Toss((1, "test", 1), np.full(10_000, 7, dtype=np.uint32))
    heads = tied.below(Chances.of((7 + 0.3) / 2**32))
    assert abs(heads.sum() - 3000) < 5 * np.sqrt(10_000 * 0.21)
    assert tied.below(Chances.of(np.full(10_000, (7 + 0.3) / 2**32))).tolist() == heads.tolist()


def test_a_probability_below_all_32_bit_limits_is_kept() -> None:
    lucky = Toss((1, "test", 1), np.zeros(10_000, dtype=np.uint32))
    assert abs(lucky.below(Chances.of(0.5 * 2.0**-32)).sum() - 5000) < 5 * 50


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_newcomers_leave_the_numbers_of_the_others_alone(size: int) -> None:
    assert toss(3, "test", 9, size).bits.tolist() == toss(3, "test", 9, 101).bits[:size].tolist()


def test_purposes_rounds_and_seeds_draw_apart() -> None:
    draws = [toss(1, "a", 1, 4), toss(1, "b", 1, 4), toss(1, "a", 2, 4), toss(2, "a", 1, 4)]
    assert len({tuple(draw.bits.tolist()) for draw in draws}) == 4
