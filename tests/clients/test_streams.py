"""A client's bits do not depend on the company that it trains in: lanes in one stream equal lanes alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fedsim.clients.kernels import LaneResult
from fedsim.clients.kernels import softmax as softmaxes
from fedsim.clients.kernels.stream import Lane, Results, Streams
from fedsim.clients.training import Trainer
from fedsim.core import LocalWork
from fedsim.data import QuadraticData
from fedsim.models import Model
from fedsim.models.linear import Linear
from fedsim.models.mlp import Mlp
from fedsim.models.point import Point
from tests.clients.fakes import ragged

MODELS: dict[str, tuple[Model, tuple[int, ...]]] = {
    "linear": (Linear(), (6,)),
    "odd": (Mlp(hidden=(33, 7)), (13,)),
    "small": (Mlp(hidden=(8, 5)), (2, 3)),
    "even": (Mlp(hidden=(64,)), (64,)),
}
"""Products of many sizes, at which operands lie aligned and not."""
AMOUNTS: dict[str, dict[str, Any]] = {"steps": {"local_steps": 3}, "epochs": {"local_epochs": 2}}
PULLED = {"proximal_mu": 0.1, "weight_decay": 0.01, "momentum": 0.5}
CLIENTS = 40


def lanes_of(trainer: Trainer, draw: np.random.Generator, room: int, rounds: int = 2) -> list[Lane]:
    """Return lanes of 1 to 8 clients of one run, from its own parameters, in one of the first rounds."""
    params = trainer.initial() + np.float32(0.01) * draw.standard_normal(trainer.layout.size).astype(np.float32)
    found = []
    for _ in range(4):
        clients = np.sort(draw.choice(CLIENTS, draw.integers(1, 9), replace=False))
        (lane,) = trainer.asked(params, clients, int(draw.integers(1, rounds + 1)))
        found.append(Lane(lane.kernel, lane.params, lane.clients, lane.round, room))
    return found


def assert_same(got: LaneResult, wanted: LaneResult) -> None:
    for name in ("clients", "deltas", "losses", "steps", "examples"):
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name), strict=True)


def assert_as_alone(lanes: list[Lane]) -> None:
    """Assert that every lane of a stream has the bits that it has when it trains by itself."""
    results = Streams().train(lanes)
    for number, lane in enumerate(lanes):
        alone = lane.kernel.train(lane.params, lane.clients, lane.round)
        wanted = alone.at(np.arange(len(lane.clients)))
        (got,) = results.of(range(number, number + 1))
        assert_same(got, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("room", [10, 200])
@pytest.mark.parametrize("options", [{}, PULLED], ids=["plain", "pulled"])
@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("name", MODELS)
def test_lanes_of_several_runs_in_one_stream_equal_each_alone(
    name: str, amount: str, options: dict[str, Any], room: int
) -> None:
    draw = np.random.default_rng(len(name) + room)
    model, shape = MODELS[name]
    lanes: list[Lane] = []
    for batch_size in (4, 16):
        sets = [ragged(shape, draw.integers(low, 31, CLIENTS)) for low in (0, 30)]
        work = LocalWork(batch_size=batch_size, lr=0.1, **AMOUNTS[amount], **options)
        trainers = [Trainer(model, work, data, seed) for data in sets for seed in (1, 2)]
        lanes += [lane for trainer in trainers for lane in lanes_of(trainer, draw, room)]
    assert_as_alone(lanes)


def test_runs_of_other_rates_share_no_step() -> None:
    draw = np.random.default_rng(5)
    data = ragged((6,), np.full(CLIENTS, 20))
    trainers = [Trainer(Linear(), LocalWork(lr=lr, local_steps=2), data, 1) for lr in (0.1, 0.01, 0.1)]
    assert_as_alone([lane for trainer in trainers for lane in lanes_of(trainer, draw, 100)])


def test_results_wait_no_longer_than_their_window(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ragged((6,), np.full(CLIENTS, 20))
    trainer = Trainer(Linear(), LocalWork(local_steps=1), data, 1)
    monkeypatch.setattr("fedsim.clients.kernels.stream.WINDOW_BYTES", 4 * trainer.layout.size * 10)
    draw = np.random.default_rng(1)
    assert_as_alone([lane for _ in range(4) for lane in lanes_of(trainer, draw, 100)])


def test_a_stream_that_raises_says_so_where_its_lanes_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = [ragged((6,), np.full(CLIENTS, count)) for count in (20, 3)]
    trainers = [Trainer(Linear(), LocalWork(local_steps=1), data, 1) for data in sets]
    draw = np.random.default_rng(2)
    lanes = [lane for trainer in trainers for lane in lanes_of(trainer, draw, 100)]
    bad: Any = lanes[0].kernel
    wanted = [lane.kernel.train(lane.params, lane.clients, lane.round).at(np.arange(len(lane.clients)))
              for lane in lanes[4:]]  # fmt: skip

    def broken(clients: Any, positions: Any) -> Any:
        raise OSError("the disk is gone")

    monkeypatch.setattr(bad.source, "rows", broken)
    results: Results = Streams().train(lanes)
    for number in range(4):
        with pytest.raises(OSError, match="the disk is gone"):
            list(results.of(range(number, number + 1)))
    for number, before in enumerate(wanted, start=4):
        assert_same(next(results.of(range(number, number + 1))), before)


@pytest.mark.parametrize(("broad", "sizes"), [(1, (5, 33, 1, 16)), (7, (3, 9, 2)), (16, (1, 2, 4))])
def test_what_a_lane_has_left_over_is_known(broad: int, sizes: tuple[int, ...]) -> None:
    vector = softmaxes.vector()
    assert vector is not None, "this processor's softmax is known"
    lanes = np.repeat(np.arange(len(sizes)), sizes)
    front = torch.randn((10, len(lanes), broad), generator=torch.Generator().manual_seed(3)).mul_(4)
    places = torch.from_numpy(softmaxes.left_over(lanes, broad, vector))
    together = softmaxes.log_softmax(front, places, vector)
    alone = [torch.log_softmax(part.contiguous(), dim=0) for part in torch.split(front, list(sizes), dim=1)]
    assert torch.equal(together, torch.cat(alone, dim=1))


def company(kernel: Any, params: npt.NDArray[np.float32], clients: npt.NDArray[np.int64]) -> None:
    """Assert that some clients in any cut of a lane end with the same bits as all of them together."""
    together = kernel.train(params, clients, 2).at(np.arange(len(clients)))
    for size in (1, 2, 3, 5):
        for first in range(0, len(clients), size):
            here = np.arange(first, min(first + size, len(clients)))
            assert_same(kernel.train(params, clients[here], 2), together.at(here))


def test_the_plain_loop_trains_each_client_alike_in_any_company() -> None:
    trainer = Trainer(Mlp(hidden=(8, 5)), LocalWork(lane=1, local_epochs=2, batch_size=4), ragged((2, 3)), 7)
    company(trainer._kernel, trainer.initial(), np.arange(7))


def test_quadratics_train_alike_in_any_company() -> None:
    draw = np.random.default_rng(0)
    data = QuadraticData(draw.standard_normal((11, 5)), draw.random(11) + 0.5, 0.3)
    trainer = Trainer(Point(init=(0.5,) * 5), LocalWork(local_steps=4, momentum=0.5), data, 7)
    company(trainer._kernel, trainer.initial(), np.arange(11))
