"""Laws of the papers' partitions: the authors' sizes and probabilities, blocks, exchanged labels, a share dealt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fedsim.core import ScenarioError, World
from fedsim.core.rng import stream
from fedsim.data.digits import Digits
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import NOBODY, by_label
from fedsim.data.partitions.dirichlet import Dirichlet
from fedsim.data.partitions.fraction import Fraction
from fedsim.data.partitions.iid import Iid
from fedsim.data.partitions.label_shares import LabelShares, shared_out
from fedsim.data.partitions.label_swap import LabelSwap
from fedsim.data.partitions.similarity import Similarity
from fedsim.data.partitions.two_tier import TwoTier
from fedsim.participation.laws import LabelDirichlet
from fedsim.scenario import load

CIFAR = np.repeat(np.arange(10), 5000)
Ints = npt.NDArray[np.int64]


def authors_partition(labels: Ints, shares: npt.NDArray[np.float64], order: Ints) -> list[Ints]:
    """Deal as the code of Wang and Ji (ICLR 2024) does, client by client and label by label."""
    per_label = [order[labels[order] == label] for label in range(shares.shape[1])]
    total, start = shares.sum(axis=0), [0] * shares.shape[1]
    dealt = []
    for client in range(len(shares)):
        own = []
        for label, indices in enumerate(per_label):
            end = int(np.round(len(indices) * np.sum(shares[: client + 1, label]) / total[label]))
            own.append(indices[start[label] : end])
            start[label] = end
        dealt.append(np.concatenate(own))
    return dealt


@pytest.mark.parametrize("seed", range(5))
def test_label_shares_has_the_sizes_of_its_authors(seed: int) -> None:
    sizes = np.bincount(LabelShares(alpha=0.1).owners(CIFAR, 250, seed), minlength=250)
    assert sizes.sum() == 50_000
    assert sizes.min() >= 128  # no client under a batch
    assert sizes.max() <= 330
    assert np.bincount(Dirichlet(alpha=0.1).owners(CIFAR, 250, seed)).max() > 900


def test_label_shares_deals_and_has_the_probabilities_of_its_authors() -> None:
    labels = np.random.default_rng(1).integers(0, 10, 4000)
    clients, seed = 50, 7
    shares = stream(seed, "partition.label_shares").dirichlet(np.full(10, 0.1), clients)
    dealt = authors_partition(labels, shares, by_label(labels, seed))
    owners = LabelShares(alpha=0.1).owners(labels, clients, seed)
    assert [np.flatnonzero(owners == client).tolist() for client in range(clients)] == [sorted(own) for own in dealt]

    counts = np.stack([np.bincount(labels[own], minlength=10) for own in dealt])
    law = LabelDirichlet(alpha=0.1, mean=0.1, min=0.02)
    luck = stream(seed, "participation.law").dirichlet(np.full(10, 0.1))
    theirs = [max(0.02, float(np.sum(own / own.sum() * luck)) * 0.1 * 10) for own in counts]
    ours = law.draw(World(seed, clients, lambda: counts))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_a_label_of_which_nobody_drew_a_share_is_cut_evenly() -> None:
    owners = shared_out(np.zeros(4, np.int64), np.zeros((2, 1)), np.arange(4))
    assert owners.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("share", "clients"), [(0.3, 7), (0.0, 10), (1.0, 9), (0.999, 30)])
def test_similarity_gives_equal_sizes_and_sorts_the_rest(share: float, clients: int) -> None:
    owners = Similarity(share=share).owners(CIFAR[::10], clients, seed=1)
    sizes = np.bincount(owners)
    assert sizes.max() - sizes.min() <= 1
    if share == 0.0:
        assert owners.tolist() == np.repeat(np.arange(10), 500).tolist()


def test_similarity_deals_its_share_at_random() -> None:
    owners = Similarity(share=0.3).owners(CIFAR, 10, seed=1)
    shares = np.stack([np.bincount(CIFAR[owners == client], minlength=10) / 5000 for client in range(10)])
    np.testing.assert_allclose(shares, 0.03 + 0.7 * np.eye(10), atol=0.03)  # blocks shift a little


@pytest.mark.parametrize("of", [Iid(), LabelShares(alpha=0.3)], ids=lambda of: of.kind)
def test_label_swap_exchanges_two_labels_at_a_share_of_the_clients(of: Dealing) -> None:
    labels = np.random.default_rng(1).integers(0, 10, 6000)
    before = labels.copy()
    swap = LabelSwap(share=0.25, of=of)
    owners = swap.owners(labels, 24, seed=3)
    np.testing.assert_array_equal(owners, of.owners(labels, 24, seed=3))
    seen = swap.relabelled(labels, owners, 24, seed=3)
    swapped = swap.swapped(24, seed=3)
    assert len(swapped) == 6
    pairs = []
    for client in range(24):
        old, new = labels[owners == client], seen[owners == client]
        moved = sorted({*old[old != new].tolist(), *new[old != new].tolist()})
        if client in swapped:
            assert len(moved) in (0, 2)  # 0: the client has neither
            pairs.append(tuple(moved))
            assert all({a, b} == set(moved) for a, b in zip(old[old != new], new[old != new], strict=True))
        else:
            assert not moved
    assert len(set(pairs)) > 1
    np.testing.assert_array_equal(labels, before)


def test_label_swap_takes_the_pair_and_the_clients_that_are_said() -> None:
    labels = np.tile(np.arange(4), 8)
    swap = LabelSwap(share=0.5, labels=(1, 3), who="first")
    owners = swap.owners(labels, 4, seed=1)
    seen = swap.relabelled(labels, owners, 4, seed=1)
    expected = np.where(owners < 2, np.array([0, 3, 2, 1])[labels], labels)
    np.testing.assert_array_equal(seen, expected)
    with pytest.raises(ScenarioError, match=r"label 4 does not exist \(0 to 3\)"):
        LabelSwap(share=0.5, labels=(1, 4)).relabelled(labels, owners, 4, seed=1)


def test_fraction_deals_a_share_and_nobody_has_the_rest() -> None:
    part = Fraction(share=0.2, of=LabelSwap(share=1.0))
    owners = part.owners(CIFAR, 24, seed=1)
    assert (owners != NOBODY).sum() == 10_000
    assert np.ptp(np.bincount(owners[owners != NOBODY])) <= 1
    seen = part.relabelled(CIFAR, owners, 24, seed=1)
    assert (seen == CIFAR)[owners == NOBODY].all()
    assert (seen != CIFAR).sum() == pytest.approx(2000, rel=0.1)
    other = LabelSwap(share=1.0, of=Fraction(share=0.2))
    np.testing.assert_array_equal(other.relabelled(CIFAR, other.owners(CIFAR, 24, seed=1), 24, seed=1), seen)


def test_what_a_fraction_leaves_out_is_not_tested_on() -> None:
    whole = Digits(clients=10).load(1)
    part = Digits(clients=10, partition=Fraction(share=0.5), test_per_client=0.2).load(1)
    assert part.test is not None
    assert whole.test is not None
    assert len(part.test.y) == len(whole.test.y)
    assert part.own_test is not None
    assert part.num_examples.sum() + part.own_test.num_examples.sum() == round(0.5 * whole.num_examples.sum())


def test_what_clients_hold_out_has_the_labels_that_they_see_and_the_test_set_has_not() -> None:
    plain = Digits(clients=4, test_per_client=0.25)
    swapped = Digits(clients=4, test_per_client=0.25, partition=LabelSwap(share=0.5, labels=(0, 1), who="first"))
    one, other = plain.load(1), swapped.load(1)
    assert one.test is not None
    assert other.test is not None
    np.testing.assert_array_equal(one.test.y, other.test.y)
    for a, b in ((one, other), (one.own_test, other.own_test)):
        assert a is not None
        assert b is not None
        exchanged = a.label_counts()
        exchanged[:2, :2] = exchanged[:2, 1::-1]
        np.testing.assert_array_equal(b.label_counts(), exchanged)


def test_two_tiers_share_each_label_by_a_dirichlet_draw() -> None:
    # the fast tier's part of a label is Beta(t s, t (1 - s)): mean s, variance s (1 - s) / (t + 1)
    labels = np.zeros(400, np.int64)
    part = TwoTier(alpha=100.0, tilt=0.5, share=0.25)
    found = np.array([(part.owners(labels, 20, seed) < 5).mean() for seed in range(1500)])
    assert found.mean() == pytest.approx(0.25, abs=0.03)
    assert found.var() == pytest.approx(0.25 * 0.75 / 1.5, rel=0.1)
    flat = TwoTier(alpha=100.0, tilt=1e6, share=0.25).owners(CIFAR, 20, seed=1)
    assert (flat < 5).mean() == pytest.approx(0.25, abs=0.01)


SCENARIO = """
name: w
seed: 1
rounds: 1
data: {{dataset: digits, clients: 10, partition: {partition}}}
model: {{name: linear}}
client: {{local_steps: 1, batch_size: 8, lr: 0.1}}
participation: {{kind: full}}
strategy: {{name: fedavg}}
"""


def written(folder: Path, partition: str) -> str:
    file = folder / "w.yaml"
    file.write_text(SCENARIO.format(partition=partition))
    return str(file)


@pytest.mark.parametrize(
    ("partition", "told"),
    [
        ("{kind: label_share, alpha: 1}", "did you mean 'label_shares'"),
        ("{kind: label_shares, alfa: 1}", "did you mean '?alpha"),
        ("{kind: similarity, share: 1.5}", "data.partition.share"),
        ("{kind: label_swap, share: 0.5, labels: [2, 2]}", "give two different labels"),
        ("{kind: label_swap, share: 0.5, of: {kind: natural}}", "data.partition.of.kind"),
        ("{kind: fraction, share: 0}", "data.partition.share"),
        ("{kind: fraction, share: 0.5, of: {kind: dirichlet}}", "data.partition.of.alpha"),
    ],
)
def test_wrong_partitions_are_told_at_their_key(tmp_path: Path, partition: str, told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        load(written(tmp_path, partition))


def test_partitions_nest_in_a_scenario(tmp_path: Path) -> None:
    inner = "{kind: label_swap, share: 0.5, of: {kind: similarity, share: 0.3}}"
    found = load(written(tmp_path, f"{{kind: fraction, share: 0.5, of: {inner}}}"))
    assert found.data.load(1).num_examples.sum() == 719
