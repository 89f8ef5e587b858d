"""What `fedsim data` shows: numbers checked by hand, and a picture for every size of population."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedsim.data.digits import Digits
from fedsim.data.partitions.dirichlet import Dirichlet
from fedsim.data.picture import _apart, draw
from fedsim.data.summary import DataSummary, summarise
from fedsim.data.synthetic import Synthetic

PNG = b"\x89PNG\r\n\x1a\n"


def summary_of(labels: list[list[int]]) -> DataSummary:
    counts = np.array(labels)
    return DataSummary(counts.sum(axis=1), np.arange(len(counts)), counts)


def test_numbers_of_a_small_split_by_hand() -> None:
    summary = summary_of([[4, 0, 0], [1, 1, 2]])
    assert summary.overall.tolist() == [0.625, 0.125, 0.25]
    assert summary.labels_held.tolist() == [1, 3]
    assert summary.entropy.tolist() == [0, 1.5]
    assert summary.distance.tolist() == [0.375, 0.375]


def test_all_clients_in_memory_are_looked_at() -> None:
    data = Digits(clients=30).load(seed=1)
    summary = summarise(data)
    np.testing.assert_array_equal(summary.labels, data.label_counts())
    np.testing.assert_array_equal(summary.num_examples, data.num_examples)


def test_of_a_million_clients_a_thousand_are_looked_at() -> None:
    summary = summarise(Synthetic(clients=1_000_000, examples=20, dimension=4).load(seed=1))
    assert summary.looked_at.tolist() == list(range(0, 1_000_000, 1000))
    assert summary.labels.sum(axis=1).tolist() == [20] * 1000
    assert len(summary.num_examples) == 1_000_000


@pytest.mark.parametrize("clients", [1, 30, 90, 450])
def test_a_picture_is_drawn_for_any_number_of_clients(clients: int) -> None:
    data = Digits(clients=clients, partition=Dirichlet(alpha=0.1)).load(seed=1)
    assert draw(summarise(data), "name", "what").startswith(PNG)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_picture_is_drawn_for_any_number_of_labels(classes: int) -> None:
    data = Synthetic(clients=12, classes=classes, dimension=5).load(seed=1)
    assert draw(summarise(data), "name", "what").startswith(PNG)


def test_a_picture_is_the_same_every_time() -> None:
    summary: Any = summarise(Digits(clients=10).load(seed=1))
    assert draw(summary, "name", "what") == draw(summary, "name", "what")


@pytest.mark.parametrize("title", ["costs $5 and $x_{", "n" * 200], ids=["dollars", "long"])
def test_any_name_may_be_the_title(title: str) -> None:
    assert draw(summary_of([[4, 0], [1, 1]]), title, "what").startswith(PNG)


def test_names_in_the_legend_keep_their_distance_and_stay_inside() -> None:
    heights = _apart(np.array([0.1, 0.11, 0.5, 0.97, 0.98]), 0.05)
    assert np.diff(heights).min() >= 0.05 - 1e-12
    assert heights[-1] <= 0.985
    assert heights[2] == 0.5
