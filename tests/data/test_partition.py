"""Laws of the partitions: every example once, keyed by the seed, nobody below the least."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.core import ScenarioError
from fedsim.data import partitions
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import group
from fedsim.data.partitions.dirichlet import Dirichlet
from fedsim.data.partitions.iid import Iid
from fedsim.data.partitions.label_shares import LabelShares
from fedsim.data.partitions.label_swap import LabelSwap
from fedsim.data.partitions.natural import Natural
from fedsim.data.partitions.quantity import Quantity
from fedsim.data.partitions.shards import Shards
from fedsim.data.partitions.similarity import Similarity
from fedsim.data.partitions.two_tier import TwoTier

LABELS = np.random.default_rng(3).integers(0, 10, 5000)
POOLED = [
    Iid(),
    Dirichlet(alpha=0.1),
    Dirichlet(alpha=0.01, min_examples=20),
    Shards(per_client=2),
    Quantity(sigma=1.5),
    LabelShares(alpha=0.1),
    Similarity(share=0.3),
    LabelSwap(share=0.5, of=Dirichlet(alpha=0.1)),
    TwoTier(alpha=0.5),
]

any_partition = st.one_of(
    st.just(Iid()),
    st.builds(Dirichlet, alpha=st.floats(1e-6, 1e6), min_examples=st.integers(1, 3)),
    st.builds(Shards, per_client=st.integers(1, 3)),
    st.builds(Quantity, sigma=st.floats(0, 30), min_examples=st.integers(1, 3)),
    st.builds(LabelShares, alpha=st.floats(1e-6, 1e6), min_examples=st.integers(1, 3)),
    st.builds(Similarity, share=st.floats(0, 1)),
)


def test_the_catalogue_names_every_kind() -> None:
    assert list(partitions.catalogue()) == [
        *("dirichlet", "fraction", "iid", "label_shares", "label_swap", "natural", "quantity"),
        *("shards", "similarity", "two_tier"),
    ]


@given(
    partition=any_partition,
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    clients=st.integers(1, 20),
    seed=st.integers(0, 2**63),
)
def test_each_example_has_one_owner_and_each_client_its_least(
    partition: Dealing, labels: list[int], clients: int, seed: int
) -> None:
    least = getattr(partition, "min_examples", getattr(partition, "per_client", 1))
    if len(labels) < clients * least:
        with pytest.raises(ScenarioError, match=rf"data.clients: {clients} clients .* there are {len(labels)}"):
            partition.owners(np.array(labels), clients, seed)
        return
    owners = partition.owners(np.array(labels), clients, seed)
    order, offsets = group(owners, clients)
    assert sorted(order.tolist()) == list(range(len(labels)))
    assert offsets[0] == 0
    assert offsets[-1] == len(labels)
    assert np.diff(offsets).min() >= least


@pytest.mark.parametrize("partition", POOLED, ids=lambda p: p.kind)
def test_the_same_seed_deals_the_same_and_another_seed_another(partition: Dealing) -> None:
    first = partition.owners(LABELS, 50, seed=1)
    np.testing.assert_array_equal(first, partition.owners(LABELS, 50, seed=1))
    assert (first != partition.owners(LABELS, 50, seed=2)).mean() > 0.5


@pytest.mark.parametrize("partition", POOLED, ids=lambda p: p.kind)
def test_the_labels_given_stay_untouched(partition: Dealing) -> None:
    labels = LABELS.copy()
    labels.setflags(write=False)
    partition.owners(labels, 50, seed=1)
    np.testing.assert_array_equal(labels, LABELS)


def test_iid_sizes_differ_by_at_most_one() -> None:
    sizes = np.bincount(Iid().owners(LABELS, 7, seed=1))
    assert sizes.max() - sizes.min() <= 1


def test_iid_gives_each_client_about_the_overall_labels() -> None:
    owners = Iid().owners(LABELS, 5, seed=1)
    for client in range(5):
        shares = np.bincount(LABELS[owners == client], minlength=10) / 1000
        np.testing.assert_allclose(shares, np.bincount(LABELS) / 5000, atol=0.04)


def test_a_large_alpha_is_close_to_iid_and_a_small_one_is_not() -> None:
    def mean_labels(alpha: float) -> float:
        owners = Dirichlet(alpha=alpha).owners(LABELS, 20, seed=1)
        return float(np.mean([len(np.unique(LABELS[owners == client])) for client in range(20)]))

    assert mean_labels(1000.0) == 10.0
    assert mean_labels(0.01) < 3.0


def test_the_shares_of_a_label_have_the_variance_of_a_dirichlet_draw() -> None:
    # a share of Dirichlet(a 1_N) has mean 1/N and variance (N - 1) / (N^2 (N a + 1))
    clients, alpha = 10, 0.5
    labels = np.zeros(2000, np.int64)
    draws = [Dirichlet(alpha=alpha).owners(labels, clients, seed) for seed in range(3000)]
    shares = np.stack([np.bincount(owners, minlength=clients) for owners in draws]) / len(labels)
    expected = (clients - 1) / (clients**2 * (clients * alpha + 1))
    assert shares.mean() == pytest.approx(1 / clients)
    assert shares.var() == pytest.approx(expected, rel=0.03)


def test_min_examples_moves_only_what_is_missing() -> None:
    free = Dirichlet(alpha=0.05).owners(LABELS, 100, seed=1)
    topped = Dirichlet(alpha=0.05, min_examples=10).owners(LABELS, 100, seed=1)
    before, after = np.bincount(free, minlength=100), np.bincount(topped, minlength=100)
    poor = before < 10
    assert (after[poor] == 10).all()
    assert (after[~poor] >= 10).all()
    kept = np.minimum(before, after.max())[~poor]
    assert (kept - after[~poor] <= 1).all()  # only those above the donors' level gave


def test_min_examples_may_use_up_every_example() -> None:
    owners = Dirichlet(alpha=0.01, min_examples=50).owners(LABELS, 100, seed=1)
    assert np.bincount(owners).tolist() == [50] * 100


def test_a_client_of_shards_sees_few_labels() -> None:
    labels = np.repeat(np.arange(10), 100)
    owners = Shards(per_client=2).owners(labels, 10, seed=1)
    assert np.bincount(owners).tolist() == [100] * 10
    assert max(len(np.unique(labels[owners == client])) for client in range(10)) <= 2


def test_shards_are_equal_to_within_one_example() -> None:
    sizes = np.bincount(Shards(per_client=1).owners(LABELS[:103], 10, seed=1))
    assert set(sizes.tolist()) == {10, 11}


def test_quantity_with_sigma_zero_is_equal_sizes() -> None:
    sizes = np.bincount(Quantity(sigma=0.0).owners(LABELS, 50, seed=1))
    assert sizes.tolist() == [100] * 50


def test_quantity_sizes_have_the_log_deviation_asked_for() -> None:
    sizes = np.bincount(Quantity(sigma=0.5).owners(np.zeros(200_000, np.int64), 1000, seed=1))
    assert np.log(sizes).std() == pytest.approx(0.5, rel=0.1)


def test_natural_numbers_clients_by_sorted_value() -> None:
    assert Natural().number(np.array([30, 7, 30, -1])).tolist() == [2, 1, 2, 0]
    assert Natural().number(np.array(["b", "a", "c"])).tolist() == [1, 0, 2]


def test_too_many_clients_are_refused_with_the_numbers() -> None:
    with pytest.raises(ScenarioError, match=r"6000 clients with at least 1 each need 6000 .* there are 5000"):
        Iid().owners(LABELS, 6000, seed=1)
