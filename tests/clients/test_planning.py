"""Kernel and lane are chosen by a formula of model, batch size and device type."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedsim.clients.kernels.choice import LONGEST, KernelChoice, fit, kept_bytes, plan
from fedsim.clients.training import Trainer
from fedsim.core import LocalWork
from fedsim.models import Model
from fedsim.models.cnn import Cnn
from fedsim.models.linear import Linear
from fedsim.models.mlp import Mlp
from fedsim.models.modules.building import build
from fedsim.models.point import Point
from fedsim.models.resnet18_gn import ResNet18
from fedsim.task.losses.cross_entropy import CrossEntropy
from tests.clients.fakes import COUNTS, collect, ragged

WORK = LocalWork(batch_size=20)


def chosen(config: Model, shape: tuple[int, ...], work: LocalWork = WORK, device: str = "cpu") -> KernelChoice:
    return plan(config, work, build(config, shape, 10), shape, device, CrossEntropy())


@pytest.mark.parametrize(
    ("config", "shape", "device", "kernel", "lane"),
    [
        (Linear(), (60,), "cpu", "stack", 866),
        (Mlp(hidden=(200,)), (784,), "cpu", "stack", 6),
        (Mlp(hidden=(1000, 1000)), (784,), "cpu", "stack", 1),
        (Cnn(), (3, 32, 32), "cpu", "sequential", 1),
        (ResNet18(), (3, 32, 32), "cpu", "sequential", 1),
        (Point(init=(1.0,)), (1,), "cpu", "quadratic", LONGEST),
        (Linear(), (60,), "cuda", "stack", LONGEST),
        (Cnn(), (3, 32, 32), "cuda", "vmap", 811),
        (ResNet18(), (3, 32, 32), "cuda", "vmap", 46),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_auto_is_a_formula_of_model_and_device_type(
    config: Model, shape: tuple[int, ...], device: str, kernel: str, lane: int
) -> None:
    found = chosen(config, shape, device=device)
    assert (found.kernel, found.lane) == (kernel, lane)


def test_a_lane_of_one_is_the_plain_loop() -> None:
    for device in ("cpu", "cuda"):
        found = chosen(Linear(), (60,), replace(WORK, lane=1), device)
        assert (found.kernel, found.lane) == ("sequential", 1)


def test_a_given_lane_is_kept_whatever_the_model() -> None:
    assert chosen(Linear(), (60,), replace(WORK, lane=7)).lane == 7
    assert chosen(Cnn(), (3, 8, 8), replace(WORK, lane=7)) == KernelChoice("vmap", 7, "client.lane is 7")


def test_lane_bytes_and_the_batch_bound_the_lane() -> None:
    usual = chosen(Mlp(), (64,))
    assert chosen(Mlp(), (64,), replace(WORK, lane_bytes=1 << 20)).lane < usual.lane
    assert chosen(Mlp(), (64,), replace(WORK, lane_bytes=1)).lane == 1
    assert chosen(Mlp(), (64,), replace(WORK, batch_size=200)).lane < usual.lane


def test_what_the_backward_pass_keeps_is_counted_once_and_without_parameters() -> None:
    # the input (784) and the hidden layer after ReLU (200), which two operations keep
    assert kept_bytes(build(Mlp(hidden=(200,)), (784,), 10), (784,)) == 4 * (784 + 200)


def test_a_lane_holds_at_least_one_and_at_most_the_longest() -> None:
    assert (fit(10, 100), fit(100, 30), fit(1 << 60, 1)) == (1, 3, LONGEST)


def test_the_choice_is_told_in_one_line() -> None:
    text = Trainer(Linear(), LocalWork(lane=3), ragged((6,)), seed=1).describe()
    assert text == "stack, 3 clients a lane on cpu (client.lane is 3)"


@pytest.mark.parametrize("work", [LocalWork(batch_size=4, local_epochs=2), LocalWork(batch_size=4, local_steps=3)])
def test_the_predicted_cost_is_what_is_gone_through(work: LocalWork) -> None:
    trainer = Trainer(Linear(), work, ragged((6,)), seed=1)
    everyone = np.arange(len(COUNTS))
    assert trainer.cost(everyone).tolist() == collect(trainer, everyone).examples.tolist()


def test_lanes_are_cut_in_the_order_of_the_clients() -> None:
    trainer = Trainer(Linear(), LocalWork(lane=3), ragged((6,)), seed=1)
    lanes = [lane.clients.tolist() for lane in trainer.lanes(trainer.initial(), np.arange(7), 1)]
    assert lanes == [[0, 1, 2], [3, 4, 5], [6]]
