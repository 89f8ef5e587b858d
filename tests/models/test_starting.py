"""The parameters of round 0 follow their law and depend on the seed alone."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedsim.core import Layout, ScenarioError
from fedsim.models import Model
from fedsim.models.cnn import Cnn
from fedsim.models.linear import Linear
from fedsim.models.mlp import Mlp
from fedsim.models.modules.building import build, layout
from fedsim.models.point import Point
from fedsim.models.resnet18_gn import ResNet18

LARGE = Mlp(hidden=(300, 100))


def tensors(config: Model, shape: tuple[int, ...] = (400,), seed: int = 1) -> dict[str, np.ndarray]:
    made = layout(build(config, shape, 10))
    return made.views(config.start(made, seed))


def test_glorot_weights_are_uniform_with_the_variance_of_the_paper_and_biases_zero() -> None:
    for name, values in tensors(LARGE).items():
        if name.endswith("bias"):
            assert not values.any()
        else:
            bound = sqrt(6 / sum(values.shape))
            assert abs(values).max() <= bound
            assert abs(values).max() > 0.99 * bound
            np.testing.assert_allclose(values.var(), 2 / sum(values.shape), rtol=6 / sqrt(values.size))
            assert abs(values.mean()) < 5 * bound / sqrt(3 * values.size)


def test_glorot_counts_the_kernel_of_a_convolution() -> None:
    kernel = tensors(Cnn(channels=(40, 50), kernel=5), (3, 16, 16))["convolutions.1.weight"]
    assert kernel.shape == (50, 40, 5, 5)
    np.testing.assert_allclose(kernel.var(), 2 / (25 * 90), rtol=0.03)


def test_the_torch_law_is_that_of_torchs_own_layers() -> None:
    ours = tensors(Mlp(hidden=(300, 100), init="torch"))
    torch.manual_seed(0)
    theirs = dict(nn.Sequential(nn.Linear(400, 300), nn.Linear(300, 100)).named_parameters())
    for place in (0, 1):
        for role in ("weight", "bias"):
            mine, reference = ours[f"layers.{place}.{role}"], theirs[f"{place}.{role}"].detach().numpy()
            bound = 1 / sqrt((400, 300)[place])
            assert abs(mine).max() <= bound
            np.testing.assert_allclose(mine.std(), reference.std(), rtol=8 / sqrt(mine.size))


@pytest.mark.parametrize(("law", "variance"), [("kaiming", 2.0), ("caffe_xavier", 1.0)])
def test_laws_by_the_fan_in_have_their_variance_and_biases_zero(law: Any, variance: float) -> None:
    dense = tensors(Mlp(hidden=(300, 100), init=law))
    kernel = tensors(Cnn(channels=(40, 50), kernel=5, init=law), (3, 16, 16))["convolutions.1.weight"]
    for values in (dense["layers.0.weight"], dense["layers.1.weight"], kernel):
        fan_in = values[0].size
        np.testing.assert_allclose(values.var(), variance / fan_in, rtol=8 / sqrt(values.size))
        assert abs(values.mean()) < 5 * sqrt(variance / fan_in / values.size)
        if law == "caffe_xavier":
            assert 0.99 * sqrt(3 / fan_in) < abs(values).max() <= sqrt(3 / fan_in)
        else:  # a normal law has its fourth moment at 3
            np.testing.assert_allclose((values.astype(float) ** 4).mean() / values.var() ** 2, 3, rtol=0.1)
    assert not dense["layers.0.bias"].any()


def test_normalisation_starts_as_the_identity() -> None:
    for law in ("glorot", "torch", "kaiming", "caffe_xavier"):
        found = tensors(ResNet18(init=law), (1, 4, 4))
        assert (found["norm.weight"] == 1).all()
        assert not found["norm.bias"].any()
        assert (found["blocks.2.shortcut.1.weight"] == 1).all()


def test_starting_parameters_are_a_function_of_seed_and_node() -> None:
    made = layout(build(Linear(), (9,), 4))
    first = Linear().start(made, 1, 5)
    torch.manual_seed(99)
    np.random.default_rng().random()
    assert np.array_equal(first, Linear().start(made, 1, 5))
    assert first.dtype == np.float32
    for other in (Linear().start(made, 2, 5), Linear().start(made, 1, 6), Linear().start(made, 1)):
        assert not np.array_equal(first, other)


def test_a_point_starts_where_it_is_told() -> None:
    made = Layout(("point",), ((2,),))
    assert Point(init=(4.0, -0.5)).start(made, 1).tolist() == [4.0, -0.5]
    assert Point(init=((1.0, 2.0), (3.0, 4.0))).start(made, 1, 1).tolist() == [3.0, 4.0]


@pytest.mark.parametrize(("numbers", "message"), [((), "for gossip"), ((2,), "node 2 has no starting point")])
def test_one_start_per_node_needs_a_node_that_is_listed(numbers: tuple[int, ...], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        Point(init=((1.0,), (3.0,))).start(Layout(("point",), ((1,),)), 1, *numbers)
