"""Whole numbers are labels, all others numbers to learn; rows of either keep their shape through the pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedsim.core import ScenarioError, Targets
from fedsim.data.partitioned import Partitioned
from fedsim.data.partitions import catalogue
from fedsim.data.partitions.iid import Iid
from fedsim.data.reading.arrays import deal
from fedsim.data.reading.targets import as_numbers

X = np.arange(60, dtype=np.float64).reshape(30, 2)
NUMBERS = np.linspace(-1.5, 2.25, 30)


def dealt(y: Any, partition: Any = None, **arrays: Any) -> Partitioned:
    given = {"x": X, "y": np.asarray(y), **arrays}
    partition = partition or Iid()
    return deal(given, "here", clients=3, partition=partition, test_fraction=0.2, divisor=1.0, seed=5)


@pytest.mark.parametrize(
    ("y", "targets"),
    [
        (np.arange(30) % 4, Targets((), 4)),
        ((np.arange(30) % 4) * 10.0 - 20, Targets((), 4)),
        (np.arange(30)[:, None] % 3, Targets((), 3)),
        (np.arange(30) % 2 == 0, Targets((), 2)),
        (NUMBERS, Targets((), 0)),
        (NUMBERS.astype(np.float32)[:, None], Targets((), 0)),
        (NUMBERS.reshape(30, 1) + np.arange(4), Targets((4,), 0)),
        (np.arange(60).reshape(30, 2) - 3, Targets((2,), 0)),
        (np.arange(150).reshape(30, 5) % 2, Targets((5,), 2)),
        (np.arange(180).reshape(30, 6) % 7, Targets((6,), 7)),
        (NUMBERS.reshape(30, 1, 1) * np.ones((2, 3)), Targets((2, 3), 0)),
    ],
)
def test_what_targets_are_is_told_from_their_values(y: Any, targets: Targets) -> None:
    data = dealt(y)
    assert Targets.of(data) == targets
    assert data.y.dtype == (np.float32 if targets.numbers else np.int64)
    rows = data.rows(np.array([0, 2]), np.array([[0, 1, 2], [2, 1, 0]]))
    assert rows.y.shape == (2, 3, *targets.shape)
    assert data.label_counts().shape == (3, 0 if targets.shape else targets.classes)
    assert data.test is not None
    assert len(data.test) + data.num_examples.sum() == 30


def test_numbers_stay_with_their_examples() -> None:
    data = dealt(NUMBERS)
    assert data.test is not None
    for client in range(3):
        rows = data.rows(np.array([client]), np.arange(data.num_examples[client])[None])
        np.testing.assert_array_equal(rows.y[0], NUMBERS.astype(np.float32)[(rows.x[0, :, 0] / 2).astype(int)])
    np.testing.assert_array_equal(data.test.y, NUMBERS.astype(np.float32)[(data.test.x[:, 0] / 2).astype(int)])


def test_one_number_that_is_not_whole_makes_all_of_them_numbers_also_in_the_test_part() -> None:
    labels = (np.arange(30) % 3).astype(float)
    data = dealt(labels, x_test=X[:4], y_test=np.array([0.0, 1.0, 2.0, 0.5]))
    assert Targets.of(data).numbers
    assert data.test is not None
    assert data.test.y.tolist() == [0.0, 1.0, 2.0, 0.5]


def test_labels_learnt_as_numbers_are_what_they_stood_for() -> None:
    y = np.arange(30) % 4 * 10 - 20
    data = as_numbers(dealt(y))
    assert data.test is not None
    assert sorted(np.concatenate([data.y[data.order], data.test.y])) == sorted(y)
    assert (data.num_classes, data.y.dtype) == (0, np.float32)
    assert as_numbers(data) is data


@pytest.mark.parametrize("kind", sorted(catalogue()))
def test_partitions_by_label_are_refused_where_there_are_none(kind: str) -> None:
    if kind == "natural":  # goes by a column
        return
    keys = {"dirichlet": {"alpha": 1.0}, "label_shares": {"alpha": 1.0}, "two_tier": {"alpha": 1.0}}
    keys |= {other: {"share": 0.5} for other in ("similarity", "label_swap", "fraction")}
    choices: dict[str, Any] = {kind: catalogue()[kind](**keys.get(kind, {}))}
    for y, told in ((NUMBERS, "the targets are numbers"), (np.arange(60).reshape(30, 2), "rows of classes")):
        if choices[kind].by_label:
            with pytest.raises(ScenarioError, match=f"data.partition.kind: {kind} deals by label.*{told}"):
                dealt(y, choices[kind])
        else:
            assert dealt(y, choices[kind]).num_examples.sum() == (12 if kind == "fraction" else 24)


def test_whole_numbers_of_64_bits_stay_whole_as_tokens() -> None:
    tokens = np.arange(120).reshape(30, 4)
    data = deal({"x": tokens, "y": NUMBERS}, "here", clients=3, partition=Iid(), test_fraction=0.2, divisor=1.0, seed=5)
    assert Targets.of(data).integers
    assert data.rows(np.array([0]), np.array([[0, 1]])).x.dtype == np.int64
    assert dealt(NUMBERS).rows(np.array([0]), np.array([[0, 1]])).x.dtype == np.float32


def test_whole_numbers_that_are_divided_are_features_like_any_other() -> None:
    pixels = np.arange(60).reshape(30, 2)
    data = deal({"x": pixels, "y": NUMBERS}, "here", clients=3, partition=Iid(), test_fraction=0.2, divisor=4.0, seed=5)
    assert not Targets.of(data).integers
    assert set(data.rows(np.array([0]), np.arange(8)[None]).x.ravel().tolist()) <= set((pixels / 4).ravel().tolist())
