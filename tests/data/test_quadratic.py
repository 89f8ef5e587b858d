"""The quadratic: what the file says is what clients hold."""

from __future__ import annotations

import numpy as np
import pytest

from fedsim.data.partitions.iid import Iid
from fedsim.data.quadratic import Quadratic


def test_centers_and_curvature_arrive_as_written() -> None:
    data = Quadratic(centers=((0.0, 1.0), (2.0, 3.0)), curvature=(1.0, 0.5), noise=0.25).load(seed=1)
    assert data.centers.tolist() == [[0, 1], [2, 3]]
    assert data.curvature.tolist() == [1, 0.5]
    assert data.noise == 0.25
    assert (data.num_clients, data.num_classes, data.input_shape, data.test) == (2, 0, (2,), None)
    assert data.num_examples.tolist() == [1, 1]
    assert not data.centers.flags.writeable
    assert not data.curvature.flags.writeable


def test_one_curvature_serves_every_client() -> None:
    assert Quadratic(centers=((0.0,), (2.0,), (6.0,)), curvature=2.0).load(seed=1).curvature.tolist() == [2, 2, 2]


def test_a_clients_row_is_its_center() -> None:
    data = Quadratic(centers=((0.0,), (2.0,), (6.0,))).load(seed=1)
    rows = data.rows(np.array([2, 1]), np.array([[0, 0], [0, 0]]))
    assert rows.x[..., 0].tolist() == [[6, 6], [2, 2]]
    assert rows.y.tolist() == [[0, 0], [0, 0]]
    assert data.label_counts().shape == (3, 0)


def test_clients_and_partition_are_accepted_when_they_agree() -> None:
    config = Quadratic(centers=((0.0,), (2.0,)), clients=2, partition=Iid())
    assert not list(config.problems())
    assert config.num_clients == 2


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        ({"centers": ()}, "centers", "at least one center"),
        ({"centers": ((),)}, "centers", "at least one center"),
        ({"centers": ((0.0,), (1.0, 2.0))}, "centers", "center 1 has 2 numbers, center 0 has 1"),
        ({"centers": ((0.0,), (float("nan"),))}, "centers", "center 1 is not finite"),
        ({"centers": ((0.0,),), "curvature": (1.0, 2.0)}, "curvature", "each of the 1 centers, got 2"),
        ({"centers": ((0.0,),), "clients": 3}, "clients", "one client for each center, 1; got 3"),
    ],
)
def test_what_does_not_fit_together_is_named(options: dict[str, object], key: str, message: str) -> None:
    ((found, text),) = Quadratic(**options).problems()  # type: ignore[arg-type]
    assert found == key
    assert message in text
