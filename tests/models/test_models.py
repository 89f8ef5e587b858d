"""Models build for the shapes they take, refuse the others in plain words, and touch no global state."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from fedsim.core import ScenarioError
from fedsim.models import Model, catalogue
from fedsim.models.cnn import Cnn
from fedsim.models.lenet import LeNet
from fedsim.models.linear import Linear
from fedsim.models.mlp import Mlp
from fedsim.models.modules.building import build, layout
from fedsim.models.modules.pooling import halve
from fedsim.models.point import Point
from fedsim.models.resnet18_gn import ResNet18

MCMAHAN = Cnn(channels=(32, 64), kernel=5, dense=(512,))


@pytest.mark.parametrize(
    ("config", "shape", "size"),
    [
        (Linear(), (60,), 610),
        (Linear(), (1, 8, 8), 650),
        (Mlp(hidden=(200,)), (784,), 159_010),
        (Mlp(hidden=()), (5,), 60),
        (LeNet(), (1, 28, 28), 61_706),
        (Cnn(), (3, 32, 32), 551_786),
        (Cnn(), (1, 8, 8), 59_690),
        (MCMAHAN, (1, 28, 28), 1_663_370),
        (ResNet18(), (3, 8, 8), 11_173_962),
    ],
    ids=str,
)
def test_a_model_has_the_published_number_of_parameters_and_one_logit_per_class(
    config: Model, shape: tuple[int, ...], size: int
) -> None:
    module = build(config, shape, 10)
    assert layout(module).size == size
    assert module(torch.zeros(3, *shape)).shape == (3, 10)


@pytest.mark.parametrize("config", [Linear(), LeNet(), Cnn(), ResNet18()], ids=lambda config: config.name)
def test_building_a_model_leaves_the_global_generator_alone(config: Model) -> None:
    before = torch.get_rng_state()
    build(config, (1, 16, 16), 10)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_built_model_is_zero_until_parameters_are_loaded() -> None:
    assert all((parameter == 0).all() for parameter in build(Cnn(), (1, 8, 8), 10).parameters())


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (LeNet(), (1, 8, 8), "lenet needs images of at least 12x12, the data has 8x8"),
        (Cnn(), (3, 3, 8), "cnn needs images of at least 4x4, the data has 3x8"),
        (Cnn(), (60,), r"cnn needs images \(channels, height, width\), got examples of shape \(60,\)"),
        (ResNet18(), (28, 28), r"got examples of shape \(28, 28\)"),
        (Point(init=(1.0, 2.0)), (3,), "the point has 2 coordinates"),
    ],
    ids=["lenet", "cnn", "flat", "no channels", "point"],
)
def test_a_shape_that_a_model_cannot_take_is_refused(config: Model, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        build(config, shape, 10)


def test_buffers_stand_behind_the_parameters_and_frozen_ones_are_no_part_of_the_model() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    found = layout(module)
    assert (found.size, found.total, found.nbytes) == (2 * 3 + 3 + 6, 15 + 3 + 3 + 1, 4 * 15 + 4 * 6 + 8)
    assert found.buffers.names == ("1.running_mean", "1.running_var", "1.num_batches_tracked")
    assert layout(module, "local").nbytes == 4 * 15
    assert layout(module, "frozen").total == 15


def test_pooling_with_channels_last_equals_the_usual_relu_and_pooling() -> None:
    images = torch.randn(2, 3, 7, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    usual, ours = torch.nn.functional.max_pool2d(images.relu(), 2), halve(images)
    assert torch.equal(ours, usual)
    (gradient,) = torch.autograd.grad(ours.square().sum(), images)
    assert torch.equal(gradient, torch.autograd.grad(usual.square().sum(), images)[0])


def test_every_model_is_listed_by_its_own_word_with_a_line_about_it() -> None:
    for word, config in catalogue().items():
        assert config.__dataclass_fields__["name"].default == word
        assert config.__doc__ is not None
        assert config.__doc__.splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (Cnn(kernel=4), "kernel"),
        (ResNet18(groups=3), "groups"),
        (Point(init=((1.0,), (1.0, 2.0))), "init"),
        (Point(init=((),)), "init"),
        (Point(init=(float("nan"),)), "init"),
    ],
    ids=str,
)
def test_an_option_that_makes_no_model_is_named(config: Cnn | ResNet18 | Point, key: str) -> None:
    assert [found for found, _ in config.problems()] == [key]


def test_configs_load_no_torch() -> None:
    code = "import sys, fedsim.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
