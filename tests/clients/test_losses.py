"""Whatever the loss: the lanes carry out the plain loop, and the stack's derivatives written by hand are autograd's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fedsim.clients.kernels.lane import LaneKernel
from fedsim.clients.kernels.vmap import VmapStepper
from fedsim.clients.training import Trainer
from fedsim.core import LocalWork, Targets
from fedsim.data import Partitioned
from fedsim.models import Model
from fedsim.models.cnn import Cnn
from fedsim.models.linear import Linear
from fedsim.models.mlp import Mlp
from fedsim.models.modules.building import build
from fedsim.task import Loss, usual_loss
from fedsim.task.losses import catalogue
from fedsim.task.losses.bce import Bce
from fedsim.task.losses.cross_entropy import CrossEntropy
from fedsim.task.losses.huber import Huber
from fedsim.task.losses.mse import Mse
from tests.clients.fakes import COUNTS, answering, collect, ragged
from tests.clients.test_kernels import assert_close

SHAPE = (2, 4, 4)
TOTAL = int(COUNTS.sum())
EVERYONE = np.arange(len(COUNTS))


def numbers(*shape: int) -> Partitioned:
    y = np.random.default_rng(5).standard_normal((TOTAL, *shape)).astype(np.float32)
    return answering(ragged(SHAPE), y)


def answers(*shape: int) -> Partitioned:
    return answering(ragged(SHAPE), np.random.default_rng(6).integers(0, 2, (TOTAL, *shape)), 2)


LEARNT: dict[str, tuple[Loss, Partitioned]] = {
    "cross_entropy": (CrossEntropy(), ragged(SHAPE)),
    "mse": (Mse(), numbers()),
    "mse of labels": (Mse(), ragged(SHAPE)),
    "mse of three": (Mse(), numbers(3)),
    "mse of a grid": (Mse(), numbers(2, 3)),
    "huber": (Huber(delta=0.5), numbers(3)),
    "bce": (Bce(), answers()),
    "bce of five": (Bce(), answers(5)),
}
MODELS: dict[str, Model] = {"linear": Linear(), "mlp": Mlp(hidden=(8, 5)), "cnn": Cnn(channels=(3,), dense=(4,))}


def trained(name: str, model: Model, lane: int, **options: Any) -> Any:
    loss, data = LEARNT[name]
    work = LocalWork(batch_size=4, lr=0.05, lane=lane, local_epochs=2, **options)
    return Trainer(model, work, data, seed=7, loss=loss)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5, "weight_decay": 0.1}], ids=["plain", "momentum"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", LEARNT)
def test_a_ragged_lane_equals_the_plain_loop(name: str, model: str, options: dict[str, Any]) -> None:
    lane, alone = (trained(name, MODELS[model], count, **options) for count in (5, 1))
    by_hand = model != "cnn" and LEARNT[name][0].stacked
    assert (lane.plan.kernel, alone.plan.kernel) == ("stack" if by_hand else "vmap", "sequential")
    assert_close(collect(lane, EVERYONE), collect(alone, EVERYONE))


@pytest.mark.parametrize("name", [name for name, (loss, _) in LEARNT.items() if loss.stacked])
def test_the_stack_equals_torch_func(name: str) -> None:
    loss, data = LEARNT[name]
    stack = trained(name, MODELS["mlp"], 7)
    module = build(MODELS["mlp"], SHAPE, loss.outputs(Targets.of(data)))
    by_vmap = LaneKernel(VmapStepper(module, loss), stack.layout, data, stack._work, 7, torch.device("cpu"))
    assert_close(collect(stack, EVERYONE), by_vmap.train(stack.initial(), EVERYONE, 2))


@pytest.mark.parametrize("name", LEARNT)
def test_mean_and_weighted_sum_are_of_the_losses_of_the_examples(name: str) -> None:
    loss, data = LEARNT[name]
    stream = torch.Generator().manual_seed(1)
    y = torch.from_numpy(data.y[:6].copy())
    output = torch.randn((6, loss.outputs(Targets.of(data))), generator=stream)
    scale = torch.rand(6, generator=stream)
    each = loss.of(output, y)
    assert each.shape == (6,)
    torch.testing.assert_close(loss.mean(output, y), each.mean())
    torch.testing.assert_close(loss.weighted(output, y, scale), (each * scale).sum())


def test_a_lane_without_a_derivative_by_hand_says_so() -> None:
    told = trained("huber", Linear(), 3).describe()
    assert (
        told
        == "vmap, 3 clients a lane on cpu (client.lane is 3; linear layers by vmap: huber has no derivative by hand)"
    )


@pytest.mark.parametrize("kind", catalogue())
def test_targets_have_the_loss_that_takes_them(kind: str) -> None:
    for targets in (Targets((), 10), Targets((), 0), Targets((7,), 20), Targets((3,), 2), Targets((2, 2), 0)):
        usual = usual_loss(targets)
        assert usual.refusal(targets) is None
        assert usual.outputs(targets) >= 1
    loss = catalogue()[kind]()
    assert any(loss.refusal(Targets(shape, classes)) is None for shape in ((), (4,)) for classes in (0, 2))
