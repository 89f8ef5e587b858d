"""Synthetic(alpha, beta): its definition, and examples that depend on (seed, client, position) alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.data import Partitioned, SyntheticData
from fedsim.data.synthetic import Lognormal, Synthetic, _laws, _quantiles, _sizes, _test_split, materialise


def on_demand(law: Synthetic, seed: int = 1) -> SyntheticData:
    return SyntheticData(law, seed, _sizes(law, seed), _test_split(law, seed))


def grid(clients: list[int], width: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array(clients), np.broadcast_to(np.arange(width), (len(clients), width))


def test_the_table_of_quantiles_is_a_standard_normal() -> None:
    z = _quantiles()
    assert len(z) == 2**16
    assert z.mean() == 0
    assert z.std() == pytest.approx(1, abs=1e-4)
    assert (z**4).mean() == pytest.approx(3, abs=1e-2)
    assert z[int(0.975 * 2**16)] == pytest.approx(1.96, abs=1e-2)


def test_features_have_the_covariance_of_the_paper() -> None:
    data = on_demand(Synthetic(clients=1, beta=0.0, examples=40_000, test_examples=1))
    x = data.rows(*grid([0], 40_000)).x[0]
    np.testing.assert_allclose(x.var(axis=0), np.arange(1, 61) ** -1.2, rtol=0.05)
    correlation = np.corrcoef(x[:, :5].T)
    np.testing.assert_allclose(correlation, np.eye(5), atol=0.03)


def test_feature_means_vary_by_beta_between_clients_and_by_one_inside() -> None:
    means, _ = _laws(Synthetic(clients=2000, beta=3.0), 1, np.arange(2000))
    assert means.mean(axis=1).var() == pytest.approx(9 + 1 / 60, rel=0.1)  # B_k ~ N(0, 3^2)
    assert means.var(axis=1, ddof=1).mean() == pytest.approx(1, rel=0.05)  # v_kj ~ N(B_k, 1)


def test_models_vary_by_alpha_between_clients_and_by_one_inside() -> None:
    _, models = _laws(Synthetic(clients=2000, alpha=2.0, dimension=10), 1, np.arange(2000))
    w = models.reshape(2000, -1) * 2.0**-12
    assert w.mean(axis=1).var() == pytest.approx(4 + 1 / 110, rel=0.1)
    assert w.var(axis=1, ddof=1).mean() == pytest.approx(1, rel=0.05)


def test_labels_are_the_largest_logit_of_the_clients_own_model() -> None:
    law = Synthetic(clients=5, examples=50, dimension=7, classes=4, test_examples=1)
    rows = on_demand(law).rows(*grid([0, 1, 2, 3, 4], 50))
    _, models = _laws(law, 1, np.arange(5))
    w, b = models[:, :-1] * 2.0**-12, models[:, -1] * 2.0**-12
    for client in range(5):
        logits = rows.x[client].astype(np.float64) @ w[client] + b[client]
        np.testing.assert_array_equal(rows.y[client], logits.argmax(axis=1))


def test_logits_are_exact_sums_so_their_order_is_no_matter() -> None:
    law = Synthetic(clients=3, examples=200, test_examples=1)
    x = on_demand(law).rows(*grid([0, 1, 2], 200)).x.astype(np.float64)
    _, models = _laws(law, 1, np.arange(3))
    forwards = np.stack([x[..., j, None] * models[:, None, j] for j in range(60)]).cumsum(axis=0)[-1]
    backwards = np.stack([x[..., j, None] * models[:, None, j] for j in reversed(range(60))]).cumsum(axis=0)[-1]
    np.testing.assert_array_equal(forwards, backwards)


def test_alpha_changes_no_label_because_softmax_ignores_a_common_shift() -> None:
    rows = [
        on_demand(Synthetic(clients=20, alpha=alpha, examples=30, test_examples=1)).rows(*grid(list(range(20)), 30))
        for alpha in (0.0, 5.0)
    ]
    np.testing.assert_array_equal(rows[0].y, rows[1].y)


def test_iid_clients_share_one_model_and_one_mean() -> None:
    law = Synthetic(clients=4, iid=True)
    means, models = _laws(law, 1, np.arange(4))
    assert not means.any()
    assert models.shape == (1, 61, 10)


def test_lognormal_sizes_follow_the_law() -> None:
    sizes = _sizes(Synthetic(clients=20_000), 1)
    assert sizes.min() >= 50
    logs = np.log(sizes[sizes > 300] - 50)  # rounding down matters little there
    assert np.median(sizes) == pytest.approx(np.exp(4) + 50, rel=0.05)
    assert np.quantile(logs, 1.0) < 4 + 2 * 4.5
    assert (np.log(sizes - 49.5) > 6).mean() == pytest.approx(0.1587, abs=0.01)  # one sigma above


def test_the_sizes_of_a_law_with_other_numbers() -> None:
    sizes = _sizes(Synthetic(clients=1000, examples=Lognormal(mean=2.0, sigma=0.0, min=3)), 1)
    assert set(sizes.tolist()) == {7 + 3}


def test_a_law_of_impossible_sizes_is_a_problem() -> None:
    assert [key for key, _ in Lognormal(mean=4, sigma=40).problems()] == ["mean"]
    assert not list(Lognormal().problems())


@given(seed=st.integers(0, 2**40), few=st.integers(1, 30), more=st.integers(1, 10**9))
@settings(max_examples=20)
def test_a_client_is_the_same_whatever_the_number_of_clients(seed: int, few: int, more: int) -> None:
    small, large = (Synthetic(clients=n, examples=5, dimension=6, test_examples=1) for n in (few, few + more))
    ask = grid(list(range(few)), 5)
    counts = np.full(few, 5)
    first = SyntheticData(small, seed, counts, None).rows(*ask)
    second = SyntheticData(large, seed, counts, None).rows(*ask)
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.y, second.y)


@pytest.mark.parametrize("iid", [False, True])
def test_a_client_is_the_same_in_every_company_and_batch(iid: bool) -> None:
    data = on_demand(Synthetic(clients=300, examples=40, test_examples=1, iid=iid))
    everyone = data.rows(*grid(list(range(300)), 40))
    draw = np.random.default_rng(0)
    for width in (1, 7, 40, 120):  # the last asks for rows several times
        clients = np.sort(draw.choice(300, 9, replace=False))
        positions = draw.integers(0, 40, (9, width))
        rows = data.rows(clients, positions)
        np.testing.assert_array_equal(rows.x, everyone.x[clients[:, None], positions])
        np.testing.assert_array_equal(rows.y, everyone.y[clients[:, None], positions])


def test_held_data_equals_data_made_on_demand() -> None:
    law = Synthetic(clients=30, examples=Lognormal(mean=2, sigma=2, min=1), dimension=8, test_examples=20)
    lazy, held = on_demand(law), law.load(seed=1)
    assert isinstance(held, Partitioned)
    np.testing.assert_array_equal(held.num_examples, lazy.num_examples)
    np.testing.assert_array_equal(held.label_counts(), lazy.label_counts())
    for client, count in enumerate(lazy.num_examples.tolist()):
        ask = grid([client], count)
        np.testing.assert_array_equal(held.rows(*ask).x, lazy.rows(*ask).x)
        np.testing.assert_array_equal(held.rows(*ask).y, lazy.rows(*ask).y)


def test_a_long_client_is_made_in_pieces_that_fit_together() -> None:
    law = Synthetic(clients=2, examples=70_000, dimension=2, classes=2, test_examples=1)
    held = materialise(on_demand(law))
    rows = on_demand(law).rows(np.array([1]), np.array([[0, 65_535, 65_536, 69_999]]))
    np.testing.assert_array_equal(held.x[[70_000, 135_535, 135_536, 139_999]], rows.x[0])


def test_a_million_clients_hold_little_more_than_their_sizes() -> None:
    data = Synthetic(clients=1_000_000, examples=20).load(seed=1)
    assert data.num_clients == 1_000_000
    assert data.nbytes < 10_000_000
    assert data.rows(np.array([999_999]), np.array([[19]])).x.shape == (1, 1, 60)


def test_label_counts_of_some_clients_are_rows_of_all() -> None:
    data = on_demand(Synthetic(clients=50, examples=20, test_examples=1))
    some = np.array([3, 44, 7])
    np.testing.assert_array_equal(data.label_counts(some), data.label_counts()[some])
    assert data.label_counts().sum(axis=1).tolist() == [20] * 50


def test_the_test_split_is_fresh_and_spread_over_the_clients() -> None:
    law = Synthetic(clients=4, examples=10, dimension=3, test_examples=10)
    held_out = _test_split(law, 1)
    assert held_out.x.shape == (10, 3)
    own = on_demand(law).rows(*grid([0, 1, 2, 3], 10)).x.reshape(-1, 3)
    assert not (held_out.x[:, None] == own[None]).all(axis=2).any()


def test_the_test_split_follows_the_clients_laws() -> None:
    law = Synthetic(clients=2, examples=10, beta=10.0, test_examples=4000)
    x = _test_split(law, 1).x
    means, _ = _laws(law, 1, np.arange(2))
    np.testing.assert_allclose(x[0::2].mean(axis=0), means[0], atol=0.15)
    np.testing.assert_allclose(x[1::2].mean(axis=0), means[1], atol=0.15)


@pytest.mark.parametrize(
    "change",
    [{"alpha": 3.0}, {"beta": 3.0}, {"iid": True}, {"dimension": 59}, {"classes": 9}, {"examples": 11}],
    ids=lambda change: next(iter(change)),
)
def test_every_option_reaches_the_law(change: dict[str, object]) -> None:
    plain = Synthetic(clients=3, examples=10)
    other = dataclasses.replace(plain, **change)  # type: ignore[arg-type]
    laws = [[*_laws(law, 1, np.arange(3)), _sizes(law, 1)] for law in (plain, other)]
    assert any(a.shape != b.shape or (a != b).any() for a, b in zip(*laws, strict=True))


def test_seeds_give_different_data() -> None:
    law = Synthetic(clients=3, examples=10)
    assert (law.load(1).rows(*grid([0], 10)).x != law.load(2).rows(*grid([0], 10)).x).all()


def test_no_clients_asked_for_give_no_rows() -> None:
    data = on_demand(Synthetic(clients=3, examples=10, test_examples=1))
    assert data.rows(np.zeros(0, np.int64), np.zeros((0, 5), np.int64)).x.shape == (0, 5, 60)
