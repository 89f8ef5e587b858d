"""Local work on quadratics, where everything can be written down."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fedsim.clients.kernels import LaneResult
from fedsim.clients.training import Trainer
from fedsim.core import LocalWork
from fedsim.data import QuadraticData
from fedsim.models.point import Point
from tests.clients.fakes import collect

CENTERS = np.array([[0.0], [2.0], [6.0]])
EVERYONE = np.arange(3)


def quadratic(
    centers: npt.NDArray[np.float64] = CENTERS, curvature: float | list[float] = 1.0, noise: float = 0.0
) -> QuadraticData:
    return QuadraticData(centers, np.broadcast_to(np.array(curvature), (len(centers),)).copy(), noise)


def train(
    data: QuadraticData, start: list[float], clients: npt.NDArray[np.int64] = EVERYONE, **work: Any
) -> LaneResult:
    round, seed = work.pop("round", 1), work.pop("seed", 1)
    return collect(Trainer(Point(init=tuple(start)), LocalWork(**work), data, seed=seed), clients, round=round)


def test_the_toy_example_is_exact() -> None:
    result = train(quadratic(), [4.0], lr=0.5, local_steps=1)
    assert result.deltas.tolist() == [[-2.0], [-1.0], [1.0]]
    assert result.losses.tolist() == [8.0, 2.0, 2.0]
    assert result.steps.tolist() == result.examples.tolist() == [1, 1, 1]


def test_many_steps_are_gradient_descent_in_closed_form() -> None:
    start, steps, lr = np.array([1.0, -2.0]), 5, 0.125
    centers = np.array([[3.0, 1.0], [0.5, -4.0]])
    curvature = np.array([[2.0], [0.5]])
    result = train(quadratic(centers, [2.0, 0.5]), [1.0, -2.0], np.arange(2), lr=lr, local_steps=steps)
    final = centers + (1 - lr * curvature) ** steps * (start - centers)
    np.testing.assert_allclose(result.deltas, final - start, rtol=1e-7)


@pytest.mark.parametrize(("amount", "steps"), [({"local_steps": 3}, 3), ({"local_epochs": 4}, 4), ({}, 1)])
def test_an_epoch_is_one_step(amount: dict[str, int], steps: int) -> None:
    data = quadratic()
    assert train(data, [4.0], **amount).steps.tolist() == [steps] * 3
    assert Trainer(Point(init=(4.0,)), LocalWork(**amount), data, seed=1).cost(EVERYONE).tolist() == [steps] * 3


def test_momentum_decay_and_the_proximal_term_follow_their_recurrence() -> None:
    options = {"momentum": 0.5, "weight_decay": 0.25, "proximal_mu": 2.0}
    w = w0 = 4.0
    velocity = 0.0
    for _ in range(3):
        velocity = 0.5 * velocity + (w - 6.0) + 0.25 * w + 2.0 * (w - w0)
        w -= 0.125 * 0.5 * velocity
    result = train(quadratic(), [4.0], lr=0.125, lr_decay=0.5, local_steps=3, round=2, **options)
    assert result.kept is not None
    np.testing.assert_allclose(result.deltas[2, 0], w - w0, rtol=1e-7)
    np.testing.assert_allclose(result.kept[2, 0], velocity, rtol=1e-7)


def test_noise_has_the_variance_that_was_asked_for() -> None:
    data = quadratic(np.zeros((4000, 5)), noise=0.5)
    moved = train(data, [0.0] * 5, np.arange(4000), lr=1.0).deltas
    assert abs(moved.mean()) < 4 * 0.5 / np.sqrt(moved.size)
    np.testing.assert_allclose(moved.var(), 0.25, rtol=4 * np.sqrt(2 / moved.size))
    assert abs(np.corrcoef(moved.T)[np.triu_indices(5, 1)]).max() < 5 / np.sqrt(4000)


def test_noise_depends_on_seed_round_client_and_step_alone() -> None:
    data = quadratic(np.zeros((30, 2)), noise=1.0)
    noise = train(data, [0.0, 0.0], np.arange(30), lr=1.0).deltas
    assert np.array_equal(train(data, [0.0, 0.0], np.array([3, 17]), lr=1.0).deltas, noise[[3, 17]])
    assert len(np.unique(noise)) == noise.size
    for other in ({"seed": 2}, {"round": 2}):
        assert not np.isin(train(data, [0.0, 0.0], np.arange(30), lr=1.0, **other).deltas, noise).any()
    two = train(data, [0.0, 0.0], np.arange(30), lr=1.0, local_steps=2).deltas
    assert not np.isin(two, noise).any()


def test_a_lane_of_any_length_gives_the_same_bits() -> None:
    data = quadratic(np.random.default_rng(0).standard_normal((20, 3)), noise=0.3)
    wanted = train(data, [1.0, 2.0, 3.0], np.arange(20), lr=0.1, local_steps=4, momentum=0.5)
    got = train(data, [1.0, 2.0, 3.0], np.arange(20), lr=0.1, local_steps=4, momentum=0.5, lane=3)
    assert np.array_equal(got.deltas, wanted.deltas)
