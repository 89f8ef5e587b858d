"""Pooled data: rows by client and position, held-out splits, what a dataset of images keeps."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.core import ScenarioError
from fedsim.data import catalogue
from fedsim.data.digits import Digits
from fedsim.data.partitioned import hold_out, hold_out_within, pool
from fedsim.data.partitions.dirichlet import Dirichlet
from fedsim.data.partitions.shards import Shards


def test_the_catalogue_names_every_dataset() -> None:
    words = "digits synthetic quadratic idx cifar npz hub table text femnist"
    words += " mnist fashion-mnist shakespeare letter magic mushroom"
    assert set(catalogue()) == set(words.split())


@pytest.mark.parametrize("config", catalogue().values(), ids=lambda config: config.__name__)
def test_the_first_line_of_a_docstring_is_a_sentence(config: type) -> None:
    assert str(config.__doc__).splitlines()[0].endswith(".")


def test_configs_load_neither_a_framework_nor_a_plotting_library() -> None:
    heavy = "{'sklearn', 'matplotlib', 'pandas', 'torch', 'flwr', 'ray', 'pydantic', 'scipy'}"
    code = f"import sys, fedsim.data; sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rows_are_the_clients_own_examples_in_order() -> None:
    x = np.arange(6, dtype=np.float32)[:, None]
    data = pool(x, np.array([0, 1, 0, 1, 0, 1]), np.array([1, 0, 1, 0, 0, 1]), 2, 2, test=(x[:1], np.array([0])))
    rows = data.rows(np.array([1, 0]), np.array([[0, 2], [1, 1]]))
    assert rows.x[..., 0].tolist() == [[0, 5], [3, 3]]
    assert rows.y.tolist() == [[0, 1], [1, 1]]
    assert data.label_counts().tolist() == [[1, 2], [2, 1]]
    assert data.label_counts(np.array([1])).tolist() == [[2, 1]]


def test_a_position_beyond_the_count_is_still_the_clients_row() -> None:
    x = np.arange(4, dtype=np.float32)[:, None]
    data = pool(x, np.zeros(4, np.int64), np.array([0, 0, 1, 1]), 2, 1, test=(x[:1], np.array([0])))
    assert data.rows(np.array([0, 1]), np.array([[7], [7]])).x[..., 0].tolist() == [[1], [3]]


def test_rows_are_fresh_and_what_is_held_is_read_only() -> None:
    data = Digits(clients=10).load(seed=1)
    for array in (data.x, data.y, data.order, data.offsets, data.test.x, data.test.y):
        assert not array.flags.writeable
    rows = data.rows(np.array([0]), np.array([[0]]))
    rows.x[:] = -1
    rows.y[:] = -1
    assert data.rows(np.array([0]), np.array([[0]])).x.min() >= 0


def test_digits_are_the_images_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    bundle = load_digits()
    data = Digits(clients=10).load(seed=1)
    np.testing.assert_array_equal(data.x[:, 0], bundle.images)
    np.testing.assert_array_equal(data.y, bundle.target)


def test_digits_are_scaled_to_one_and_split_once() -> None:
    data = Digits(clients=7, partition=Dirichlet(alpha=0.1)).load(seed=1)
    everyone = [data.rows(np.array([c]), np.arange(n)[None]) for c, n in enumerate(data.num_examples)]
    assert data.input_shape == (1, 8, 8)
    assert data.num_classes == 10
    assert everyone[0].x.dtype == np.float32
    assert max(rows.x.max() for rows in everyone) == 1.0
    assert sum(data.num_examples) + len(data.test) == 1797
    seen = np.concatenate([data.test.x, *(rows.x[0] for rows in everyone)]).reshape(1797, -1)
    np.testing.assert_array_equal(
        np.sort(seen.sum(axis=1)), np.sort(data.x.reshape(1797, -1).sum(axis=1) / np.float32(16))
    )


def test_the_held_out_digits_do_not_depend_on_the_clients() -> None:
    few, many = Digits(clients=2).load(seed=1), Digits(clients=200, partition=Shards()).load(seed=1)
    np.testing.assert_array_equal(few.test.x, many.test.x)
    other = Digits(clients=2).load(seed=2)
    assert (few.test.x != other.test.x).any()


def test_more_clients_than_digits_are_a_problem_before_loading() -> None:
    assert not list(Digits(clients=1438).problems())
    assert list(Digits(clients=1439).problems()) == [
        ("clients", "1439 clients need 1439 training images, and there are 1438")
    ]
    assert list(Digits(clients=720, partition=Shards(per_client=2)).problems())


def test_digits_without_scikit_learn_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedsim.data.digits.find_spec", lambda name: None)
    with pytest.raises(ScenarioError, match=r"scikit-learn, which is not there: pip install scikit-learn"):
        Digits(clients=2).load(seed=1)


def test_digits_load_without_importing_scikit_learn() -> None:
    made = "from fedsim.data.digits import Digits; Digits(clients=3).load(1)"
    code = f"import sys; {made}; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert importlib.util.find_spec("sklearn") is not None


@given(
    labels=st.lists(st.integers(0, 5), min_size=20, max_size=200),
    fraction=st.floats(0.05, 0.9),
    seed=st.integers(0, 99),
)
def test_the_held_out_split_is_stratified_by_label(labels: list[int], fraction: float, seed: int) -> None:
    y = np.array(labels)
    train = hold_out(y, fraction, seed)
    assert len(np.unique(train)) == len(train)
    assert len(y) - len(train) == int(np.floor(len(y) * fraction + 1e-9))
    held = np.bincount(y, minlength=6) - np.bincount(y[train], minlength=6)
    assert (np.abs(held - fraction * np.bincount(y, minlength=6)) <= 1 + 1e-6).all()


def test_a_fraction_of_nothing_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"data.test_fraction: 0.2 of 3 examples leaves none to test on"):
        hold_out(np.array([0, 1, 2]), 0.2, seed=1)


@given(
    owners=st.lists(st.integers(0, 4), min_size=1, max_size=80).map(lambda o: np.unique(o, return_inverse=True)[1]),
    fraction=st.floats(0.05, 0.95),
)
def test_holding_out_within_clients_leaves_each_of_them_something(owners: np.ndarray, fraction: float) -> None:
    counts = np.bincount(owners)
    expected = np.floor(counts * fraction + 1e-9)
    if not expected.any():
        with pytest.raises(
            ScenarioError, match=r"leaves none to test on; give a larger fraction, or x_test and y_test"
        ):
            hold_out_within(owners, fraction, seed=1)
        return
    kept = np.bincount(owners[hold_out_within(owners, fraction, seed=1)], minlength=len(counts))
    np.testing.assert_array_equal(counts - kept, expected)
    assert kept.min() >= 1
