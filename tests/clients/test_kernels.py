"""The kernels carry out the same local work: the plain loop is held to torch.optim.SGD, the lanes to the loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn.functional import cross_entropy

from fedsim.clients.batches import draw
from fedsim.clients.kernels import LaneResult
from fedsim.clients.kernels.lane import LaneKernel
from fedsim.clients.kernels.source import Gathered, Pooled
from fedsim.clients.kernels.vmap import VmapStepper
from fedsim.clients.training import Trainer
from fedsim.core import CapacityError, LocalWork, ScenarioError
from fedsim.models import Model
from fedsim.models.cnn import Cnn
from fedsim.models.lenet import LeNet
from fedsim.models.linear import Linear
from fedsim.models.mlp import Mlp
from fedsim.models.modules.building import build
from fedsim.models.point import Point
from fedsim.models.resnet18_gn import ResNet18
from fedsim.task.losses.cross_entropy import CrossEntropy
from tests.clients.fakes import COUNTS, collect, ragged, train

EVERYTHING: dict[str, Any] = {"momentum": 0.5, "weight_decay": 0.1, "proximal_mu": 0.3, "lr_decay": 0.9}
MODELS: dict[str, tuple[Model, tuple[int, ...]]] = {
    "linear": (Linear(), (6,)),
    "mlp": (Mlp(hidden=(8, 5)), (2, 3)),
    "lenet": (LeNet(), (1, 12, 12)),
    "cnn": (Cnn(channels=(3, 4), dense=(8,)), (2, 8, 8)),
    "resnet18-gn": (ResNet18(), (1, 4, 4)),
}
EVERYONE = np.arange(len(COUNTS))
AMOUNTS: dict[str, Any] = {"epochs": {"local_epochs": 2}, "steps": {"local_steps": 4}}
KERNELS: dict[str, tuple[Model, int]] = {
    "sequential": (Linear(), 1),
    "stack": (Linear(), 7),
    "vmap": (Cnn(channels=(3,), dense=()), 7),
}


def assert_close(got: LaneResult, wanted: LaneResult) -> None:
    """Assert equality to 1e-5 of each client's own movement."""
    norms = np.linalg.norm(wanted.deltas, axis=1)
    assert (np.linalg.norm(got.deltas - wanted.deltas, axis=1) <= 1e-5 * norms).all()
    np.testing.assert_allclose(got.losses, wanted.losses, rtol=1e-5)
    np.testing.assert_array_equal(got.clients, wanted.clients)
    np.testing.assert_array_equal(got.steps, wanted.steps)
    np.testing.assert_array_equal(got.examples, wanted.examples)
    assert (got.kept is None) == (wanted.kept is None)
    if got.kept is not None and wanted.kept is not None:
        norms = np.linalg.norm(wanted.kept, axis=1)
        assert (np.linalg.norm(got.kept - wanted.kept, axis=1) <= 1e-5 * norms).all()


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("name", ["linear", "mlp", "lenet", "cnn"])
def test_a_ragged_lane_equals_the_plain_loop(name: str, amount: str, options: dict[str, Any]) -> None:
    model, shape = MODELS[name]
    data = ragged(shape)
    work = LocalWork(batch_size=4, lr=0.05, lane=1, **AMOUNTS[amount], **options)
    assert_close(train(model, replace(work, lane=5), data, EVERYONE), train(model, work, data, EVERYONE))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_a_ragged_lane_of_resnets_equals_the_plain_loop(options: dict[str, Any]) -> None:
    model, shape = MODELS["resnet18-gn"]
    data, clients = ragged(shape, np.array([3, 1])), np.arange(2)
    work = LocalWork(batch_size=2, lr=0.01, lane=1, local_epochs=1, **options)
    assert_close(train(model, replace(work, lane=2), data, clients), train(model, work, data, clients))


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_the_stack_equals_torch_func(name: str) -> None:
    model, shape = MODELS[name]
    data, work = ragged(shape), LocalWork(batch_size=4, lr=0.1, lane=7, **EVERYTHING)
    trainer = Trainer(model, work, data, seed=7)
    stepper = VmapStepper(build(model, shape, 4), CrossEntropy())
    by_vmap = LaneKernel(stepper, trainer.layout, data, work, 7, torch.device("cpu"))
    assert_close(collect(trainer, EVERYONE), by_vmap.train(trainer.initial(), EVERYONE, 2))


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5, "weight_decay": 0.1}], ids=["plain", "momentum"])
@pytest.mark.parametrize("name", MODELS)
def test_the_plain_loop_is_torchs_sgd_bit_for_bit(name: str, options: dict[str, Any]) -> None:
    model, shape = MODELS[name]
    data = ragged(shape, np.array([5, 3]))
    work = LocalWork(batch_size=2, lr=0.05, lr_decay=0.5, lane=1, local_steps=3, **options)
    trainer = Trainer(model, work, data, seed=7)
    got = collect(trainer, np.arange(2), round=2)
    for client in range(2):
        module = build(model, shape, 4)
        torch.nn.utils.vector_to_parameters(torch.from_numpy(trainer.initial()), module.parameters())
        optimizer = torch.optim.SGD(module.parameters(), lr=0.05 * 0.5, **options)
        batches = draw(work, 7, 2, np.array([client]), data.num_examples[[client]])
        for positions in batches.positions[0]:
            examples = data.rows(np.array([client]), positions[None])
            optimizer.zero_grad()
            cross_entropy(module(torch.from_numpy(examples.x[0])), torch.from_numpy(examples.y[0])).backward()
            optimizer.step()
        final = torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
        assert np.array_equal(got.deltas[client], final - trainer.initial())


def test_the_proximal_term_is_the_gradient_of_its_penalty() -> None:
    data, work = ragged((6,), np.array([8])), LocalWork(batch_size=4, lr=0.1, lane=1, local_steps=3, proximal_mu=0.5)
    trainer = Trainer(Linear(), work, data, seed=7)
    start = torch.from_numpy(trainer.initial())
    module = build(Linear(), (6,), 4)
    torch.nn.utils.vector_to_parameters(start.clone(), module.parameters())
    for positions in draw(work, 7, 2, np.array([0]), np.array([8])).positions[0]:
        examples = data.rows(np.array([0]), positions[None])
        flat = torch.nn.utils.parameters_to_vector(module.parameters())
        loss = cross_entropy(module(torch.from_numpy(examples.x[0])), torch.from_numpy(examples.y[0]))
        penalised = loss + 0.5 / 2 * ((flat - start) ** 2).sum()
        gradients = torch.autograd.grad(penalised, list(module.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(module.parameters(), gradients, strict=True):
                parameter -= 0.1 * gradient
    moved = torch.nn.utils.parameters_to_vector(module.parameters()).detach() - start
    np.testing.assert_allclose(collect(trainer, np.array([0])).deltas[0], moved, rtol=1e-5, atol=1e-7)


def test_losses_are_means_over_the_points_visited() -> None:
    data, work = ragged((6,), np.array([3])), LocalWork(batch_size=8, lr=0.1, lane=1, local_steps=1)
    trainer = Trainer(Linear(), work, data, seed=7)
    first = collect(trainer, np.array([0]))
    second = collect(trainer, np.array([0]), params=trainer.initial() + first.deltas[0])
    both = train(Linear(), replace(work, local_steps=2), data, np.array([0]))
    np.testing.assert_allclose(both.losses, (first.losses + second.losses) / 2, rtol=1e-6)


@pytest.mark.parametrize("name", KERNELS)
def test_the_same_call_gives_the_same_bits_wherever_the_parameters_lie(name: str) -> None:
    model, lane = KERNELS[name]
    trainer = Trainer(model, LocalWork(batch_size=4, lr=0.1, lane=lane), ragged((2, 4, 4)), seed=7)
    params = trainer.initial()
    wanted = collect(trainer, EVERYONE, params=params)
    for offset in range(0, 64, 12):
        memory = np.zeros(params.nbytes + 128, np.uint8)
        moved: npt.NDArray[np.float32] = memory[offset : offset + params.nbytes].view(np.float32)
        moved[:] = params
        moved.setflags(write=False)
        got = collect(Trainer(model, trainer._work, ragged((2, 4, 4)), seed=7), EVERYONE, params=moved)
        assert np.array_equal(got.deltas, wanted.deltas)
        assert np.array_equal(got.losses, wanted.losses)


@pytest.mark.parametrize("name", KERNELS)
def test_a_client_does_not_feel_its_company(name: str) -> None:
    model, lane = KERNELS[name]
    data, work = ragged((2, 4, 4)), LocalWork(batch_size=4, lr=0.1, lane=lane, **EVERYTHING)
    together = train(model, work, data, EVERYONE)
    for client in EVERYONE:
        alone = train(model, work, data, np.array([client]))
        assert_close(alone, together.at(np.array([client])))
        assert lane > 1 or np.array_equal(alone.deltas[0], together.deltas[client])


@pytest.mark.parametrize("name", KERNELS)
def test_a_client_without_examples_stays_where_it_is(name: str) -> None:
    model, lane = KERNELS[name]
    result = train(model, LocalWork(lane=lane, lr=0.1, **EVERYTHING), ragged((2, 4, 4)), EVERYONE)
    assert not result.deltas[4].any()
    assert (result.steps[4], result.examples[4], result.losses[4]) == (0, 0, 0)
    assert result.deltas[[0, 1, 2, 3, 5, 6]].any(axis=1).all()


@pytest.mark.parametrize("name", KERNELS)
def test_nobody_having_examples_is_no_failure(name: str) -> None:
    model, lane = KERNELS[name]
    data = replace(ragged((2, 4, 4)), offsets=np.zeros(3, np.int64))
    for work in (LocalWork(lane=lane), LocalWork(lane=lane, local_steps=2)):
        assert not train(model, work, data, np.arange(2)).deltas.any()


@pytest.mark.parametrize("name", KERNELS)
def test_each_client_may_start_at_its_own_parameters(name: str) -> None:
    model, lane = KERNELS[name]
    trainer = Trainer(model, LocalWork(batch_size=4, lane=lane, **EVERYTHING), ragged((2, 4, 4)), seed=7)
    starts = np.stack([trainer.initial(client) for client in EVERYONE])
    together = collect(trainer, EVERYONE, params=starts)
    for client in EVERYONE:
        assert_close(collect(trainer, np.array([client]), params=starts[client]), together.at(np.array([client])))


@pytest.mark.parametrize("name", KERNELS)
def test_momentum_that_was_kept_goes_on(name: str) -> None:
    model, lane = KERNELS[name]
    data, clients = ragged((2, 4, 4), np.array([3, 4, 2])), np.arange(3)
    work = LocalWork(batch_size=4, lr=0.1, momentum=0.5, lane=lane, local_steps=1)
    trainer = Trainer(model, work, data, seed=7)
    first = collect(trainer, clients)
    second = collect(trainer, clients, params=trainer.initial() + first.deltas, kept=first.kept)
    at_once = train(model, replace(work, local_steps=2), data, clients)
    np.testing.assert_allclose(first.deltas + second.deltas, at_once.deltas, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", KERNELS)
def test_training_touches_no_input_and_no_global_generator(name: str) -> None:
    model, lane = KERNELS[name]
    trainer = Trainer(model, LocalWork(lane=lane), ragged((2, 4, 4)), seed=7)
    params, clients, state = trainer.initial(), EVERYONE.copy(), torch.get_rng_state()
    kept = params.copy()
    collect(trainer, clients, params=params)
    assert np.array_equal(params, kept)
    assert np.array_equal(clients, EVERYONE)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("lane", [1, 4])
@pytest.mark.parametrize(
    "option",
    [
        {"lr": 0.07},
        {"batch_size": 3},
        {"local_epochs": 2},
        {"local_steps": 5},
        {"momentum": 0.1},
        {"weight_decay": 0.1},
        {"proximal_mu": 0.1},
        {"lr_decay": 0.5},
    ],
    ids=str,
)
def test_every_option_of_the_local_work_moves_the_result(option: dict[str, Any], lane: int) -> None:
    data, work = ragged((6,)), LocalWork(batch_size=4, lane=lane)
    usual, other = train(Linear(), work, data, EVERYONE), train(Linear(), replace(work, **option), data, EVERYONE)
    assert not np.array_equal(usual.deltas, other.deltas)


def test_a_rate_of_zero_trains_nothing() -> None:
    for lane in (1, 4):
        assert not train(Linear(), LocalWork(lr=0.0, lane=lane), ragged((6,)), EVERYONE).deltas.any()


@pytest.mark.parametrize("divisor", [1.0, 255.0])
def test_a_pool_on_the_device_gives_the_same_examples(divisor: float) -> None:
    data = ragged((2, 3))
    if divisor != 1.0:
        data = replace(data, x=np.arange(data.x.size, dtype=np.uint8).reshape(data.x.shape), divisor=divisor)
    positions = np.array([[0, 4, 9], [3, 2, 0]])
    device = torch.device("cpu")
    x, y = Pooled(data, device).rows(np.array([0, 5]), positions)
    wanted_x, wanted_y = Gathered(data, device).rows(np.array([0, 5]), positions)
    assert torch.equal(x, wanted_x)
    assert torch.equal(y, wanted_y)


@pytest.mark.parametrize(("lane", "told"), [(6, "write `lane: 3`"), (1, "a single client")])
def test_a_full_gpu_names_the_lane_to_write(lane: int, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(Linear(), LocalWork(lane=lane), ragged((6,)), seed=7)

    def full(*_: object) -> LaneResult:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(trainer._kernel, "train", full)
    with pytest.raises(CapacityError, match=told):
        collect(trainer, EVERYONE)


def test_a_point_belongs_to_the_quadratic() -> None:
    with pytest.raises(ScenarioError, match="belong together"):
        Trainer(Point(init=(1.0,)), LocalWork(), ragged((1,)), seed=7)
