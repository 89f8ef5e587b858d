"""Optimisers and clipping of the local work: the plain loop against torch.optim, the lanes against the loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn.functional import cross_entropy

from fedsim import optimizers
from fedsim.clients.batches import draw
from fedsim.clients.kernels import LaneResult
from fedsim.clients.training import Trainer
from fedsim.core import LocalWork
from fedsim.core.schedules.cosine import Cosine
from fedsim.core.schedules.step import Step
from fedsim.data import QuadraticData
from fedsim.models import Model
from fedsim.models.cnn import Cnn
from fedsim.models.linear import Linear
from fedsim.models.mlp import Mlp
from fedsim.models.modules.building import build
from fedsim.models.point import Point
from tests.clients.fakes import COUNTS, collect, ragged, train

EVERYONE = np.arange(len(COUNTS))
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "sgd": [{"momentum": 0.6, "nesterov": True, "weight_decay": 0.1}, {}],
    "adam": [{"weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}, {}],
    "adamw": [{"weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}, {}],
    "adagrad": [{"weight_decay": 0.1, "eps": 1e-3}, {}],
}
CASES = [(name, given) for name in optimizers.catalogue() for given in OPTIONS[name]]
THEIRS: dict[str, Any] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adagrad": torch.optim.Adagrad,
}
MODELS: dict[str, tuple[Model, tuple[int, ...], int]] = {
    "stack": (Mlp(hidden=(5,)), (2, 3), 7),
    "vmap": (Cnn(channels=(3,), dense=()), (2, 4, 4), 7),
    "sequential": (Linear(), (6,), 1),
}


def close(got: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32], tolerance: float = 1e-5) -> bool:
    """Return whether rows are equal to `tolerance` of their own length."""
    return bool((np.linalg.norm(got - wanted, axis=1) <= tolerance * np.linalg.norm(wanted, axis=1)).all())


def torchs(
    work: LocalWork, model: Model, shape: tuple[int, ...], start: npt.NDArray[np.float32], client: int, round: int
) -> npt.NDArray[np.float32]:
    """Return the delta of a client trained by torch.optim and torch.nn.utils.clip_grad_norm_."""
    data = ragged(shape)
    module = build(model, shape, 4)
    torch.nn.utils.vector_to_parameters(torch.from_numpy(start.copy()), module.parameters())
    given = {key: getattr(work, key) for key in ("momentum", "nesterov", "weight_decay", "betas", "eps")}
    own = optimizers.options(optimizers.catalogue()[work.optimizer])
    taken = {key: value for key, value in given.items() if key in own and value is not None}
    optimizer = THEIRS[work.optimizer](module.parameters(), lr=work.lr, **taken)
    batches = draw(work, 7, round, np.array([client]), data.num_examples[[client]])
    for number, positions in enumerate(batches.positions[0], 1):
        positions = positions[: batches.cuts.of(0)[number - 1]]
        examples = data.rows(np.array([client]), positions[None])
        optimizer.param_groups[0]["lr"] = work.rate(round, number)
        optimizer.zero_grad()
        cross_entropy(module(torch.from_numpy(examples.x[0])), torch.from_numpy(examples.y[0])).backward()
        if work.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(module.parameters(), work.clip_norm)
        optimizer.step()
    return torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy() - start


@pytest.mark.parametrize("clip", [None, 0.7])
@pytest.mark.parametrize(("name", "given"), CASES, ids=str)
def test_the_plain_loop_is_torchs_optimiser_bit_for_bit(name: str, given: dict[str, Any], clip: float | None) -> None:
    model, shape = Mlp(hidden=(5,)), (2, 3)
    work = LocalWork(optimizer=name, batch_size=4, lr=0.05, lane=1, local_epochs=3, clip_norm=clip, **given)
    trainer = Trainer(model, work, ragged(shape), seed=7)
    got = collect(trainer, EVERYONE, round=2)
    for client in (0, 1, 5):
        assert np.array_equal(got.deltas[client], torchs(work, model, shape, trainer.initial(), client, round=2))


@pytest.mark.parametrize("clip", [None, 0.7])
@pytest.mark.parametrize("kernel", ["stack", "vmap"])
@pytest.mark.parametrize(("name", "given"), CASES, ids=str)
def test_a_lane_equals_the_plain_loop(name: str, given: dict[str, Any], kernel: str, clip: float | None) -> None:
    model, shape, lane = MODELS[kernel]
    work = LocalWork(
        **{"optimizer": name, "batch_size": 4, "lr": 0.05, "lane": lane, "local_epochs": 2, "eps": 1e-3, **given}
        | ({"eps": None} if name == "sgd" else {}),
        clip_norm=clip,
        proximal_mu=0.3,
        schedule=Cosine(rounds=6, min=0.01, by="step"),
    )
    got, wanted = (train(model, replace(work, lane=lane), ragged(shape), EVERYONE) for lane in (lane, 1))
    assert close(got.deltas, wanted.deltas)
    assert (got.kept is None) == (wanted.kept is None)
    if got.kept is not None and wanted.kept is not None:
        np.testing.assert_allclose(got.kept, wanted.kept, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kernel", MODELS)
@pytest.mark.parametrize("name", optimizers.catalogue())
def test_what_an_optimiser_kept_goes_on(name: str, kernel: str) -> None:
    model, shape, lane = MODELS[kernel]
    data, clients = ragged(shape, np.array([3, 4, 2])), np.arange(3)
    work = LocalWork(optimizer=name, batch_size=4, lr=0.05, lane=lane, local_steps=1, **OPTIONS[name][0])
    trainer = Trainer(model, work, data, seed=7)
    first = collect(trainer, clients)
    second = collect(trainer, clients, params=trainer.initial() + first.deltas, kept=first.kept)
    at_once = train(model, replace(work, local_steps=2), data, clients)
    np.testing.assert_allclose(first.deltas + second.deltas, at_once.deltas, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(second.kept, at_once.kept, rtol=1e-4, atol=1e-6)
    fresh = collect(trainer, clients, params=trainer.initial() + first.deltas)
    assert not np.allclose(first.deltas + fresh.deltas, at_once.deltas, rtol=1e-3)


@pytest.mark.parametrize("kernel", ["stack", "sequential"])
def test_clients_with_other_numbers_of_steps_behind_them_share_a_lane(kernel: str) -> None:
    model, shape, lane = MODELS[kernel]
    data = ragged(shape)
    work = LocalWork(optimizer="adam", batch_size=4, lr=0.05, lane=lane, eps=1e-3)
    trainer = Trainer(model, work, data, seed=7)
    first = collect(trainer, EVERYONE)
    assert first.kept is not None
    assert first.kept[:, -1].tolist() == [2, 3, 1, 3, 0, 5, 2]
    both = collect(trainer, EVERYONE, params=trainer.initial() + first.deltas, kept=first.kept)
    for client in (1, 4, 5):
        alone = collect(
            trainer,
            np.array([client]),
            params=(trainer.initial() + first.deltas)[client : client + 1],
            kept=first.kept[client : client + 1],
        )
        assert close(both.deltas[[client]], alone.deltas)


def quadratic(**work: Any) -> LaneResult:
    data = QuadraticData(np.array([[3.0, 4.0], [-6.0, 0.0]]), np.array([1.0, 2.0]), 0.0)
    return collect(Trainer(Point(init=(0.0, 0.0)), LocalWork(**work), data, seed=1), np.arange(2))


def test_a_clipped_step_has_the_length_it_is_clipped_to() -> None:
    deltas = quadratic(lr=0.5, local_steps=1, clip_norm=0.25).deltas
    np.testing.assert_allclose(deltas, 0.125 * np.array([[0.6, 0.8], [-1.0, 0.0]]), rtol=1e-6)
    np.testing.assert_array_equal(
        quadratic(lr=0.5, local_steps=1, clip_norm=1e4).deltas, quadratic(lr=0.5, local_steps=1).deltas
    )


def test_the_proximal_pull_is_clipped_and_weight_decay_is_not() -> None:
    # from 2 towards 2: no gradient but the pull's and the decay's, after a first step from 0 to 2
    data = QuadraticData(np.array([[2.0]]), np.array([1.0]), 0.0)

    def moved(**given: Any) -> float:
        work = LocalWork(lr=1.0, local_steps=2, **given)
        return float(collect(Trainer(Point(init=(0.0,)), work, data, seed=1), np.array([0])).deltas[0, 0])

    # step 1: 0 -> 1 (clipped to 1); step 2 at 1: gradient -1, pull 10 (1 - 0), clipped from 9 to 1 -> 0
    assert moved(clip_norm=1.0, proximal_mu=10.0) == pytest.approx(0.0, abs=1e-5)
    # step 2 at 1: gradient -1 (norm 1), decay 3 x 1 comes after: 1 - (-1 + 3) = -1
    assert moved(clip_norm=1.0, weight_decay=3.0) == pytest.approx(-1.0, abs=1e-5)


def test_the_first_step_of_adam_is_as_long_as_the_rate() -> None:
    deltas = quadratic(optimizer="adam", lr=0.25, local_steps=1).deltas
    np.testing.assert_allclose(deltas, [[0.25, 0.25], [-0.25, 0.0]], rtol=1e-6)


def test_a_schedule_by_step_counts_the_steps_of_each_round() -> None:
    halving = LocalWork(lr=0.5, local_steps=3, schedule=Step(every=1, factor=0.5, by="step"))
    data = QuadraticData(np.array([[8.0]]), np.array([1.0]), 0.0)
    trainer = Trainer(Point(init=(0.0,)), halving, data, seed=1)
    # 0 -> 4 at 1/2, -> 5 at 1/4, -> 5.375 at 1/8, in every round
    assert [float(collect(trainer, np.array([0]), round=r).deltas[0, 0]) for r in (1, 9)] == [5.375, 5.375]
    assert halving.constant_rate
    by_round = LocalWork(lr=0.5, schedule=Step(every=2, factor=0.5))
    assert [by_round.rate(round, step=7) for round in (1, 2, 3)] == [0.5, 0.5, 0.25]
    assert not by_round.constant_rate


@pytest.mark.parametrize("lane", [1, 4])
@pytest.mark.parametrize(
    ("optimizer", "option"),
    [
        ("sgd", {"momentum": 0.5, "nesterov": True}),
        ("adam", {"betas": (0.8, 0.999)}),
        ("adam", {"eps": 0.1}),
        ("adamw", {"weight_decay": 0.1}),
        ("adagrad", {"eps": 0.1}),
        ("sgd", {"clip_norm": 0.1}),
        ("sgd", {"schedule": Step(every=1, factor=0.5)}),
    ],
    ids=str,
)
def test_every_option_moves_the_result(optimizer: str, option: dict[str, Any], lane: int) -> None:
    given = {"momentum": 0.5} if "nesterov" in option else {}
    work = LocalWork(batch_size=4, lane=lane, optimizer=optimizer, **given)
    usual, other = (train(Linear(), one, ragged((6,)), EVERYONE) for one in (work, replace(work, **option)))
    assert not np.array_equal(usual.deltas, other.deltas)
