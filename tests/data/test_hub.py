"""The hub adapter, against a stand-in that offers what flwr-datasets offers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fedsim.core import ScenarioError
from fedsim.data.hub import Hub
from fedsim.data.partitions.natural import Natural


class Image:
    """The name by which a column of images is known."""


class Table:
    """A split: columns by name."""

    def __init__(self, **columns: Any) -> None:
        self.columns = columns
        self.column_names = list(columns)
        self.features = {name: Image() if name == "image" else None for name in columns}

    def with_format(self, kind: str) -> Table:
        assert kind == "numpy"
        return self

    def __getitem__(self, column: str) -> Any:
        return np.asarray(self.columns[column])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """A function that puts splits on the stand-in hub and returns what the reader was asked for."""

    def offer(**splits: Table) -> dict[str, Any]:
        asked: dict[str, Any] = {}

        class FederatedDataset:
            def __init__(self, **options: Any) -> None:
                asked.update(options)

            def load_split(self, name: str) -> Table:
                if name not in splits:
                    raise ValueError(f"The given split: '{name}' is not present")
                return splits[name]

        module = ModuleType("flwr_datasets")
        module.__spec__ = ModuleSpec("flwr_datasets", None)
        module.FederatedDataset = FederatedDataset  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "flwr_datasets", module)
        return asked

    return offer


PICTURES = np.arange(8 * 4 * 5 * 3).reshape(8, 4, 5, 3).astype(np.uint8)
LABELS = np.arange(8) % 2


def test_images_become_channels_first_and_are_scaled(hub: Callable[..., dict[str, Any]]) -> None:
    asked = hub(train=Table(image=PICTURES, label=LABELS), test=Table(image=PICTURES[:2], label=LABELS[:2]))
    data = Hub(path="somebody/pictures", clients=2).load(seed=1)
    assert asked == {"dataset": "somebody/pictures", "subset": None, "partitioners": {}, "shuffle": False}
    assert data.input_shape == (3, 4, 5)
    np.testing.assert_array_equal(data.test.x, np.moveaxis(PICTURES[:2], -1, 1).astype(np.float32) / np.float32(255))


def test_plain_features_and_a_natural_partition(hub: Callable[..., dict[str, Any]]) -> None:
    hub(train=Table(v=np.ones((8, 3)), kind=LABELS, who=["b", "a"] * 4))
    config = Hub(path="x", features="v", labels="kind", test=None, partition=Natural(column="who"), test_fraction=0.25)
    data = config.load(seed=1)
    assert data.num_examples.tolist() == [3, 3]
    assert len(data.test) == 2
    assert data.label_counts().tolist() == [[0, 3], [3, 0]]


def test_a_column_that_is_not_there_is_named_with_those_that_are(hub: Callable[..., dict[str, Any]]) -> None:
    hub(train=Table(image=PICTURES, kind=LABELS))
    with pytest.raises(ScenarioError, match=r"data\.path: split train of x lacks label; it holds image, kind"):
        Hub(path="x", clients=2).load(seed=1)


def test_a_split_that_is_not_there_is_told(hub: Callable[..., dict[str, Any]]) -> None:
    hub(train=Table(image=PICTURES, label=LABELS))
    with pytest.raises(ScenarioError, match=r"data\.path: x cannot be loaded: The given split: 'test'"):
        Hub(path="x", clients=2).load(seed=1)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedsim.data.hub.find_spec", lambda name: None)
    with pytest.raises(ScenarioError, match=r"data\.dataset: hub needs the package flwr-datasets: pip install"):
        Hub(path="x", clients=2).load(seed=1)


def test_only_the_natural_partition_counts_the_clients_itself() -> None:
    assert [key for key, _ in Hub(path="x").problems()] == ["clients"]
    assert not list(Hub(path="x", partition=Natural()).problems())
