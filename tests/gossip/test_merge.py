"""The merge kernel: hand checks, invariances, degenerate tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.clients.gossip.merge import Merged, Row, Tensors, merge, moments
from fedsim.core import Layout

Array = npt.NDArray[np.float32]
LAYOUT = Layout(("one", "two", "bias"), ((4, 5), (3, 4), (4,)))
ALL, WEIGHTS = Tensors.of(LAYOUT, "all"), Tensors.of(LAYOUT, "weights")


def flat(size: int) -> Tensors:
    return Tensors.of(Layout(("w",), ((size,),)), "all")


def merged(
    models: Sequence[Sequence[float]] | Array,
    weights: Sequence[float] | None = None,
    *,
    tensors: Tensors | None = None,
    targets: Sequence[float] | None = None,
    correct: bool = True,
) -> tuple[Array, Merged]:
    given = np.asarray(models, np.float32)
    shares = np.full(len(given), 1 / len(given)) if weights is None else np.asarray(weights, np.float64)
    parts = tensors or flat(given.shape[1])
    found = moments(given, parts)
    row = Row(list(given), found.means, found.variances, shares, shares if targets is None else np.asarray(targets))
    out = np.empty((1, given.shape[1]), np.float32)
    return out[0], merge([row], out, parts, correct=correct)


def test_the_first_hand_check_of_equal_weights() -> None:
    out, told = merged([[1, 2, 3, 4], [4, 1, 2, 3]])
    np.testing.assert_allclose(out, [2.5, 0.9188611699, 2.5, 4.0811388301], rtol=1e-7)
    assert told.before[0, 0] == 0.5
    assert told.after[0, 0] == 1.25
    assert told.factors[0, 0] == pytest.approx(np.sqrt(2.5), rel=1e-15)


def test_the_second_hand_check_takes_the_mean_of_variances_and_not_of_deviations() -> None:
    out, told = merged([[0, 2], [4, 4]])
    np.testing.assert_allclose(out, [1.7928932188, 3.2071067812], rtol=1e-7)
    assert told.factors[0, 0] == pytest.approx(np.sqrt(2), rel=1e-15)


def test_without_correction_the_result_is_the_average_and_the_factor_is_only_told() -> None:
    out, told = merged([[1, 2, 3, 4], [4, 1, 2, 3]], correct=False)
    assert out.tolist() == [2.5, 1.5, 2.5, 3.5]
    assert told.factors[0, 0] == pytest.approx(np.sqrt(2.5))
    assert told.after[0, 0] == 0.5


def test_tensors_are_corrected_one_by_one_and_biases_are_averaged_plainly() -> None:
    rng = np.random.default_rng(1)
    models = rng.normal(size=(3, LAYOUT.size)).astype(np.float32)
    out, _ = merged(models, tensors=WEIGHTS)
    average = models.astype(np.float64).mean(axis=0)
    for name, part in LAYOUT.views(out).items():
        plain = LAYOUT.views(average.astype(np.float32))[name]
        if name == "bias":
            np.testing.assert_array_equal(part, plain)
        else:
            wanted = np.mean([LAYOUT.views(model)[name].astype(np.float64).var() for model in models])
            assert part.astype(np.float64).var() == pytest.approx(wanted, rel=1e-6)
            assert part.mean(dtype=np.float64) == pytest.approx(plain.mean(dtype=np.float64), abs=1e-7)


def test_one_model_with_the_whole_weight_is_copied_exactly() -> None:
    rng = np.random.default_rng(2)
    models = rng.normal(size=(2, 50)).astype(np.float32)
    out, told = merged(models, [0.0, 1.0], targets=[1.0, 0.0])
    assert out.tobytes() == models[1].tobytes()
    assert told.factors[0, 0] == 1.0


@pytest.mark.parametrize("models", [[[3, 3, 3], [1, 1, 1]], [[2.0], [5.0]], [[0.1] * 7, [0.3] * 7]])
def test_tensors_without_variance_keep_the_average(models: list[list[float]]) -> None:
    out, told = merged(models)
    average = np.asarray(models, np.float32).astype(np.float64).mean(axis=0).astype(np.float32)
    assert out.tobytes() == average.tobytes()
    assert told.factors[0, 0] == 1.0
    assert not told.vanished.any()


def test_a_model_and_its_negative_stay_finite_and_are_counted() -> None:
    one = np.array([1.0, -2.0, 0.5, 4.0], np.float32)
    out, told = merged(np.stack([one, -one]))
    assert out.tolist() == [0.0] * 4
    assert told.vanished.all()
    assert np.isfinite(told.factors).all()


def test_a_zero_target_from_others_keeps_the_average() -> None:
    out, _ = merged([[1, 2, 3], [5, 5, 5]], [0.5, 0.5], targets=[0.0, 1.0])
    assert out.tolist() == [3.0, 3.5, 4.0]


def test_a_flat_tensor_with_a_large_mean_is_measured_exactly() -> None:
    one = np.float32(1000.0) + np.arange(64, dtype=np.float32) / 1024
    found = moments(one[None], flat(64))
    assert found.variances[0, 0] == pytest.approx(one.astype(np.float64).var(), rel=1e-9)


models_of = st.integers(2, 6).flatmap(
    lambda count: st.lists(
        st.lists(st.floats(-8, 8, width=32), min_size=12, max_size=12), min_size=count, max_size=count
    )
)


@given(models_of, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_models_moves_only_rounding(models: list[list[float]], shuffle: st.DataObject) -> None:
    order = list(range(len(models)))
    shuffle.shuffle(order)  # type: ignore[attr-defined]
    one, told = merged(models)
    other, again = merged([models[k] for k in order])
    if not (told.vanished.any() or again.vanished.any()):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@given(models_of, st.sampled_from([0.25, 2.0, 1024.0]))
@settings(max_examples=60, deadline=None)
def test_scaling_all_models_by_a_power_of_two_scales_the_result_bit_for_bit(
    models: list[list[float]], scale: float
) -> None:
    scaled = np.asarray(models, np.float32) * np.float32(scale)
    normal = np.abs(np.asarray(models, np.float32)) > 1e-12
    one, _ = merged(np.where(normal, models, 0.0).astype(np.float32))
    other, _ = merged(np.where(normal, scaled, 0.0).astype(np.float32))
    assert (one * np.float32(scale)).tobytes() == other.tobytes()


@given(models_of, st.sampled_from([-4.0, 1.0, 16.0]))
@settings(max_examples=60, deadline=None)
def test_shifting_one_tensor_shifts_its_result_and_no_other(models: list[list[float]], shift: float) -> None:
    tensors = Tensors.of(Layout(("a", "b"), ((2, 3), (3, 2))), "all")
    plain = np.round(np.asarray(models, np.float64) * 64).astype(np.float32) / 64
    moved = plain.copy()
    moved[:, :6] += np.float32(shift)
    one, told = merged(plain, tensors=tensors)
    other, again = merged(moved, tensors=tensors)
    assert one[6:].tobytes() == other[6:].tobytes()
    if not (told.vanished.any() or again.vanished.any()):
        np.testing.assert_allclose(other[:6] - np.float32(shift), one[:6], atol=1e-4)


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=12, max_size=12),
    st.lists(st.floats(0.015625, 1.0), min_size=1, max_size=9),
)
@settings(max_examples=100, deadline=None)
def test_identical_models_come_out_bit_for_bit(model: list[float], weights: list[float]) -> None:
    one = np.asarray(model, np.float32) + np.float32(0)  # no negative zeros: -0.0 + 0.0 is 0.0
    shares = np.asarray(weights) / np.sum(weights)
    out, told = merged(np.tile(one, (len(weights), 1)), shares)
    assert out.tobytes() == one.tobytes()
    assert (told.factors == 1.0).all()


@given(models_of)
@settings(max_examples=100, deadline=None)
def test_the_factor_is_at_least_one_for_convex_averages_with_a_matching_target(models: list[list[float]]) -> None:
    _, told = merged(models)
    assert (told.factors >= 1.0 - 1e-9).all()


def test_the_factor_follows_the_closed_form_of_correlated_models() -> None:
    rng = np.random.default_rng(3)
    count, size, r = 8, 200_000, 0.3
    common = rng.normal(size=size) * np.sqrt(r)
    models = (common + rng.normal(size=(count, size)) * np.sqrt(1 - r)).astype(np.float32)
    _, told = merged(models)
    assert told.factors[0, 0] == pytest.approx(1 / np.sqrt(1 / count + (1 - 1 / count) * r), rel=0.01)


@pytest.mark.parametrize("size", [3, 5000, 70_000])
def test_a_row_has_the_same_bits_alone_and_in_company(size: int) -> None:
    rng = np.random.default_rng(4)
    tensors = Tensors.of(Layout(("a", "b"), ((1, size), (size, 1))), "all")
    models = rng.normal(size=(12, 2 * size)).astype(np.float32)
    found = moments(models, tensors)
    rows = []
    for k in range(12):
        who = np.array([k, (k + 1) % 12, (k + 5) % 12])
        share = np.array([0.5, 0.2, 0.3])
        rows.append(Row(list(models[who]), found.means[who], found.variances[who], share, share))
    together = np.empty_like(models)
    merge(rows, together, tensors, correct=True)
    for k in range(12):
        alone = np.empty((1, 2 * size), np.float32)
        merge(rows[k : k + 1], alone, tensors, correct=True)
        assert alone[0].tobytes() == together[k].tobytes()
        single = moments(models[k : k + 1], tensors)
        assert single.variances.tobytes() == found.variances[k : k + 1].tobytes()
