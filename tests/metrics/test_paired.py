"""Statistics over seeds, against numbers worked out by hand and against the textbook's tables."""

from __future__ import annotations

from math import erfc, isnan, nan, sqrt

import numpy as np
import pytest

from fedsim.analysis.bands import band
from fedsim.analysis.paired import (
    Difference,
    Reached,
    holm,
    log_rank,
    median_reached,
    paired_difference,
    rounds_to_target,
    t_interval,
    t_quantile,
)


@pytest.mark.parametrize(("count", "quantile"), [(2, 12.706), (3, 4.303), (5, 2.776), (10, 2.262), (31, 2.042)])
def test_quantiles_are_those_of_the_printed_table(count: int, quantile: float) -> None:
    assert t_quantile(count) == pytest.approx(quantile, abs=5e-4)


def test_the_interval_is_the_mean_plus_and_minus_t_standard_errors() -> None:
    found = t_interval([2.0, 4.0, 4.0, 4.0, 6.0])  # mean 4, squares 4 + 0 + 0 + 0 + 4, s^2 = 8 / 4
    assert found.mean == 4.0
    assert found.half == pytest.approx(2.7764451 * sqrt(2.0) / sqrt(5.0))
    assert (found.low + found.high) / 2 == pytest.approx(4.0)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    found = t_interval([3.0])
    assert (found.mean, found.count) == (3.0, 1)
    assert isnan(found.low)
    assert isnan(found.high)


def test_runs_without_a_value_are_left_out_and_counted() -> None:
    assert t_interval([1.0, nan, 3.0, float("inf")]).count == 2
    assert t_interval([1.0, nan, 3.0]).mean == 2.0
    assert isnan(t_interval([nan]).mean)


def test_pairing_removes_what_the_seeds_have_in_common() -> None:
    seeds, extra = np.array([10.0, 50.0, 90.0, 130.0]), np.array([1.0, 2.0, 1.0, 2.0])
    found = paired_difference(seeds + extra, seeds)  # mean 1.5, s^2 = 1/3, s / sqrt(4) = 0.2887
    assert found.mean == 1.5
    assert found.half == pytest.approx(3.182446 * sqrt(1 / 3) / 2)
    assert found.verdict == "above"
    apart = t_interval(seeds + extra)
    assert apart.half > 50 * found.half


def test_the_p_value_is_that_of_the_paired_t_test() -> None:
    # t = 4.303 on 2 degrees of freedom is the 5 % point of the printed table
    spread = 1.0 / 4.3026527
    found = paired_difference(spread * sqrt(3.0) * np.array([-1.0, 0.0, 1.0]) + 1.0, np.zeros(3))
    assert found.p_value == pytest.approx(0.05, abs=1e-6)
    assert found.low == pytest.approx(0.0, abs=1e-6)


def test_a_seed_that_only_one_of_the_two_has_does_not_count() -> None:
    found = paired_difference([1.0, 2.0, nan, 4.0], [0.0, nan, 0.0, 3.0])
    assert (found.mean, found.count) == (1.0, 2)


def test_equal_runs_differ_by_nothing() -> None:
    found = paired_difference([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (found.mean, found.low, found.high, found.p_value, found.verdict) == (0.0, 0.0, 0.0, 1.0, "")


def test_a_constant_difference_is_certain() -> None:
    found = paired_difference([2.0, 3.0], [1.0, 2.0])
    assert (found.mean, found.p_value, found.verdict) == (1.0, 0.0, "above")


def test_a_difference_of_one_seed_has_no_verdict() -> None:
    found = paired_difference([2.0], [1.0])
    assert isinstance(found, Difference)
    assert found.verdict == ""
    assert isnan(found.p_value)


def test_holm_multiplies_the_smallest_p_by_their_number_and_never_decreases() -> None:
    assert holm([0.02, 0.01, 0.9, 0.03]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    found = holm([nan, 0.01])
    assert isnan(found[0])
    assert found[1] == 0.01


def test_the_first_round_at_the_target_counts_even_if_it_is_lost_again() -> None:
    assert rounds_to_target([0, 5, 10], [0.1, 0.8, 0.7], 0.8, higher=True) == Reached(5)
    assert rounds_to_target([0, 5, 10], [9.0, 2.0, 3.0], 2.5, higher=False) == Reached(5)


def test_a_target_that_is_never_reached_is_censored_at_the_last_round() -> None:
    found = rounds_to_target([0, 5, 10], [0.1, 0.2, nan], 0.8, higher=True)
    assert (found, str(found)) == (Reached(10, censored=True), ">10")
    assert rounds_to_target([], [], 0.8, higher=True).censored


def test_the_log_rank_test_is_that_of_paper_and_pencil() -> None:
    # at risk 4, 3, 2, 1, of which ours 2, 1, 1, 0, and one reaches it each time: ours less expected is
    # 2 - (1/2 + 1/3 + 1/2), and the variance 1/4 + 2/9 + 1/4
    z = (2 - 4 / 3) / (13 / 18) ** 0.5
    found = log_rank([Reached(10), Reached(30)], [Reached(20), Reached(40)])
    assert found == pytest.approx(erfc(z / 2**0.5))


def test_all_at_the_target_in_the_same_round_are_equally_soon() -> None:
    assert log_rank([Reached(5), Reached(5)], [Reached(5), Reached(5)]) == 1.0


def test_one_seed_makes_no_test() -> None:
    assert isnan(log_rank([Reached(5)], [Reached(6)]))


def test_the_median_is_the_round_by_which_half_of_the_seeds_were_there() -> None:
    late = Reached(50, censored=True)
    assert median_reached([Reached(30), Reached(10), Reached(20)]) == Reached(20)
    assert median_reached([Reached(10), Reached(20), late, late]) == Reached(20)
    assert median_reached([Reached(10), late, late]) == late


def test_a_band_is_the_interval_of_every_round() -> None:
    rounds = np.array([0, 10])
    values = [np.array([1.0, 5.0]), np.array([2.0, 5.0]), np.array([3.0, 5.0])]
    found = band([(rounds, one) for one in values])
    assert found.mean.tolist() == [2.0, 5.0]
    expected = t_interval([1.0, 2.0, 3.0])
    assert found.low[0] == pytest.approx(expected.low)
    assert found.high.tolist() == pytest.approx([expected.high, 5.0])


def test_a_band_goes_on_with_the_seeds_that_are_left() -> None:
    long, short = (np.array([0, 1, 2]), np.array([1.0, 1.0, 4.0])), (np.array([0, 1]), np.array([3.0, nan]))
    found = band([long, short])
    assert found.count.tolist() == [2, 1, 1]
    assert found.mean.tolist() == [2.0, 1.0, 4.0]
    assert np.isnan(found.low[1:]).all()


def test_a_long_curve_is_thinned_to_means_of_stretches() -> None:
    rounds = np.arange(1, 1001)
    found = band([(rounds, rounds.astype(float)), (rounds, rounds + 2.0)], places=10)
    assert len(found.rounds) == 10
    assert found.rounds[0] == pytest.approx(50.5)
    assert found.mean == pytest.approx(found.rounds + 1.0)


def test_no_seeds_make_no_curve() -> None:
    assert len(band([]).rounds) == 0
