"""Statistics are a commutative monoid, and the variance made of them is the variance."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedsim.engine.round.measure import NOTHING, add, total, update_variance

# whole numbers of this size add without rounding, so that the laws hold to the bit
exact = st.dictionaries(st.sampled_from("abc"), st.integers(-(2**40), 2**40).map(float))
any_floats = st.dictionaries(st.sampled_from("abc"), st.floats(allow_nan=False, allow_infinity=False, width=32))


@given(exact, exact, exact)
def test_addition_is_associative(a: dict[str, float], b: dict[str, float], c: dict[str, float]) -> None:
    assert add(add(a, b), c) == add(a, add(b, c))


@given(any_floats, any_floats)
def test_addition_is_commutative(a: dict[str, float], b: dict[str, float]) -> None:
    assert add(a, b) == add(b, a)


@given(any_floats)
def test_nothing_is_the_identity(a: dict[str, float]) -> None:
    assert add(a, NOTHING) == a == add(NOTHING, a)


@given(any_floats, any_floats)
def test_addition_changes_no_operand(a: dict[str, float], b: dict[str, float]) -> None:
    before = dict(a), dict(b)
    add(a, b)
    assert (a, b) == before


@given(st.lists(any_floats), st.randoms(use_true_random=False))
def test_the_bits_of_a_total_do_not_depend_on_the_order(parts: list[dict[str, float]], random: object) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert total(shuffled) == total(parts)


@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_variance_is_the_mean_squared_distance_to_the_mean(n: int, d: int, seed: int) -> None:
    deltas = np.random.default_rng(seed).normal(size=(n, d))
    expected = ((deltas - deltas.mean(0)) ** 2).sum() / n
    found = update_variance(n, float((deltas**2).sum()), deltas.mean(0))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14 * (deltas**2).sum())


@given(st.integers(1, 50), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5))
def test_equal_updates_have_no_variance_and_never_a_negative_one(n: int, delta: list[float]) -> None:
    deltas = np.tile(np.array(delta), (n, 1))
    assert update_variance(n, float((deltas**2).sum()), deltas.sum(0) / n) == 0.0


def test_an_empty_cohort_has_no_variance() -> None:
    assert update_variance(0, 0.0, np.zeros(3)) == 0.0


def test_a_diverged_cohort_is_not_called_calm() -> None:
    assert np.isnan(update_variance(2, np.inf, np.array([np.inf])))
