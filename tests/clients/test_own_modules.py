"""Modules of somebody's own: how they train, what is found by trying them, and what is refused in plain words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedsim.clients.evaluation import Evaluator
from fedsim.clients.training import Trainer
from fedsim.core import LocalWork, ScenarioError
from fedsim.models.config import OwnModule
from fedsim.models.mlp import Mlp
from fedsim.models.modules.building import build, values
from tests.clients.fakes import COUNTS, collect, ragged
from tests.models.own import Layers, LowRank, Normalised

WORK = LocalWork(batch_size=4, lr=0.1, local_steps=3)
EVERYONE = np.flatnonzero(COUNTS > 1)


@dataclass(frozen=True, kw_only=True)
class Written(OwnModule):
    """A module that is written out in a test."""

    name: Literal["written"] = "written"
    make: Callable[[int, int], Any]

    def module(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        made: nn.Module = self.make(torch.Size(input_shape).numel(), num_classes)
        return made


def trainer(model: OwnModule | Mlp, work: LocalWork = WORK, shape: tuple[int, ...] = (6,)) -> Trainer:
    return Trainer(model, work, ragged(shape), seed=7)


class ByHand(nn.Module):
    """The same layers as an mlp, as people write them."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(features, 64), nn.Linear(64, 64), nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(x.size(0), -1)
        x = functional.relu(self.one(x))
        x = torch.relu(self.two(x))
        out: Tensor = self.out(x)
        return out


class Relu6(ByHand):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(functional.relu6(self.two(functional.relu6(self.one(x.flatten(1))))))
        return out


class Shared(nn.Module):
    """One layer used twice."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.one, self.out = nn.Linear(features, features), nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.one(self.one(x.flatten(1)).relu()).relu())
        return out


class Branching(ByHand):
    def forward(self, x: Tensor) -> Tensor:
        h = self.one(x.flatten(1)).relu()
        out: Tensor = self.out(self.two(h).relu() if h.sum() > 0 else h)
        return out


@pytest.mark.parametrize(
    ("model", "kernel", "reason"),
    [
        (Written(make=ByHand), "stack", "bytes a client"),
        (Layers(), "stack", "bytes a client"),
        (Layers(which="tanh"), "vmap", "bytes a client"),
        (Written(make=Relu6), "vmap", "bytes a client"),
        (Written(make=Shared), "vmap", "bytes a client"),
        (LowRank(), "vmap", "bytes a client"),
        (Normalised(dropout=0.0), "sequential", "its buffers move while it trains (running_mean"),
        (Normalised(dropout=0.5, buffers="frozen"), "sequential", "it draws random numbers"),
        (Normalised(dropout=0.0, buffers="frozen"), "vmap", "bytes a client"),
        (Layers(which="softmax-over-batch"), "sequential", "the examples of a batch act on each other"),
        (Written(make=Branching), "sequential", "torch.func cannot map it over clients"),
        (Written(make=lambda f, c: nn.Sequential(nn.Flatten(), nn.Linear(f, c))), "stack", "bytes a client"),
        (
            Written(
                make=lambda f, c: nn.Sequential(
                    nn.Unflatten(1, (1, f)), nn.Conv1d(1, 2, f), nn.Flatten(), nn.Linear(2, c)
                )
            ),
            "sequential",
            "convolutions on a CPU",
        ),
    ],
    ids=lambda value: getattr(value, "which", getattr(value, "name", None)) or None,
)
def test_the_kernel_is_found_by_trying(model: OwnModule, kernel: str, reason: str) -> None:
    found = trainer(model).plan
    assert (found.kernel, reason in found.reason) == (kernel, True), found


@pytest.mark.parametrize(
    "model", [Layers(which="tanh"), LowRank(), Written(make=Shared), Normalised(dropout=0.0, buffers="frozen")]
)
def test_a_ragged_lane_of_an_own_module_equals_the_plain_loop(model: OwnModule) -> None:
    work = replace(WORK, local_steps=None, local_epochs=2, momentum=0.5)
    alone = collect(trainer(model, replace(work, lane=1)), EVERYONE)
    lane = collect(trainer(model, replace(work, lane=5)), EVERYONE)
    np.testing.assert_allclose(lane.deltas, alone.deltas, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(lane.losses, alone.losses, rtol=1e-5)


@pytest.mark.parametrize("work", [WORK, replace(WORK, momentum=0.9)], ids=["plain", "momentum"])
def test_layers_by_hand_train_as_the_shipped_mlp_bit_for_bit(work: LocalWork) -> None:
    own, shipped = trainer(Written(make=ByHand), work), trainer(Mlp(hidden=(64, 64)), work)
    start = own.initial()
    assert own.plan.kernel == shipped.plan.kernel == "stack"
    assert own.plan.lane == shipped.plan.lane
    for client in EVERYONE:
        one = np.array([client])
        assert np.array_equal(collect(own, one, params=start).deltas, collect(shipped, one, params=start).deltas)


def test_a_module_is_left_alone_by_the_trial() -> None:
    model = Normalised()
    assert np.array_equal(trainer(model).initial(), values(build(model, (6,), 4, 7)))


def test_draws_are_keyed_by_round_and_client_and_leave_the_global_generators_alone() -> None:
    model = trainer(Normalised(dropout=0.5))
    before, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    together = collect(model, EVERYONE)
    for place, client in enumerate(EVERYONE):
        torch.rand(3)
        alone = collect(model, np.array([client]))
        assert np.array_equal(alone.deltas[0], together.deltas[place])
    torch.set_rng_state(before)
    collect(model, EVERYONE)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], legacy)  # type: ignore[index]  # noqa: NPY002
    # the last client has one batch in all rounds, so that only dropout can tell them apart
    few = np.array([0])
    whole = trainer(Normalised(dropout=0.5), replace(WORK, batch_size=8))
    assert not np.array_equal(collect(whole, few, round=1).deltas, collect(whole, few, round=2).deltas)
    still = trainer(Normalised(dropout=0.0), replace(WORK, batch_size=8))
    assert np.array_equal(collect(still, few, round=1).deltas, collect(still, few, round=2).deltas)


def test_a_single_example_is_normalised_by_the_running_statistics() -> None:
    model = trainer(Normalised(dropout=0.0), replace(WORK, local_steps=1, lane=1))
    one = np.array([2])  # who has one example
    found = collect(model, one)
    module = build(Normalised(dropout=0.0), (6,), 4, 7)
    module.eval()
    x, y = (torch.from_numpy(np.array(part[0])) for part in vars(ragged((6,)).rows(one, np.array([[0]]))).values())
    gradients = torch.autograd.grad(functional.cross_entropy(module(x), y), list(module.parameters()))
    moved = torch.cat([-0.1 * gradient.reshape(-1) for gradient in gradients])
    np.testing.assert_allclose(found.deltas[0], moved.numpy(), rtol=1e-5, atol=1e-7)
    lane = next(model.lanes(model.initial(), one, 1))
    assert lane.buffers is not None
    assert np.array_equal(lane.buffers[0], model.initial()[model.layout.size :])
    again = collect(model, np.array([1]))
    assert np.array_equal(again.deltas, collect(trainer(Normalised(dropout=0.0), model._work), np.array([1])).deltas)


def test_every_step_has_a_draw_of_its_own() -> None:
    seen: list[Tensor] = []

    class Noting(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(torch.rand(2))
            return super().forward(x)

    model = trainer(Written(make=Noting))
    seen.clear()
    collect(model, np.array([0, 1]))
    assert len({tuple(draw.tolist()) for draw in seen}) == 2 * 3


def test_evaluation_is_in_eval_mode_with_the_buffers_of_the_model() -> None:
    data, model = ragged((6,)), Normalised(dropout=0.9)
    params = trainer(model).initial() + np.float32(0.1)
    evaluator = Evaluator(model, data, np.full(7, 1 / 7), seed=7)
    found = evaluator.evaluate(params)
    assert evaluator.evaluate(params) == found
    made = trainer(model)
    module = build(model, (6,), 4, 7)
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in made.named(params).items()}
    module.load_state_dict(tensors)
    module.eval()
    assert data.test is not None
    loss = functional.cross_entropy(
        module(torch.from_numpy(np.array(data.test.x))), torch.from_numpy(np.array(data.test.y))
    )
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-6)


def test_integer_buffers_are_exact_whatever_their_size() -> None:
    class Table(nn.Linear):
        def __init__(self, features: int, classes: int) -> None:
            super().__init__(features, classes)
            self.register_buffer("large", torch.tensor([2**40 + 1, -5]))
            self.register_buffer("seen", torch.tensor(0))
            self.register_buffer("cache", torch.zeros(1), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            self.seen = self.seen + 1  # not in place, as people write it
            self.cache += 1
            assert self.cache == 1, "the cache of one client's step is seen by the next client"
            return super().forward(x)

    made = trainer(Written(make=Table), replace(WORK, local_steps=1))
    assert made.layout.buffers.names == ("large", "seen")
    found = collect(made, np.array([0, 1, 3]))
    assert found.buffers is None or found.buffers.shape == (3, 3)
    lane = next(made.lanes(made.initial(), np.array([0, 1]), 1))
    assert lane.buffers is not None
    named = made.named(np.concatenate([made.initial()[: made.layout.size], lane.buffers[0] + np.float32(0.4)]))
    assert named["large"].tolist() == [2**40 + 1, -5]
    assert named["seen"].tolist() == 1


class Seeding(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().forward(x)


def seeded(features: int, classes: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(features, classes)


class Pair(nn.Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x


class Raising(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("what is\n this")


class Detached(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


def misbuilt(features: int, classes: int) -> nn.Module:
    return nn.Linear(features, "many")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f, c: 7, r"model: written returns int, not a torch.nn.Module"),
        (
            lambda f, c: nn.Linear(f, c + 1),
            r"returns shape \(4, 5\) for 4 examples; it must be \(examples, classes\) = \(4, 4\)",
        ),
        (lambda f, c: nn.Linear(f + 1, c), r"cannot take a batch of shape \(4, 6\)"),
        (lambda f, c: nn.Linear(f, c).double(), "weight is float64; what trains is float32"),
        (lambda f, c: nn.Linear(f, c).requires_grad_(False), "no parameter that needs a gradient"),
        (lambda f, c: nn.Linear(f, c, device="meta"), "weight is on meta; leave the device to fedsim"),
        (seeded, "seeds torch's global generator; leave that out"),
        (Seeding, "seeds torch's global generator in its forward pass"),
        (Pair, "returns tuple from its forward pass, not a tensor"),
        (Raising, r"cannot take a batch of shape \(4, 6\): .*test_own_modules.py:\d+: ValueError: what is this"),
        (Detached, "its answer has no gradient"),
        (misbuilt, r"model: written: .*test_own_modules.py:\d+: TypeError"),
    ],
    ids=lambda value: None if isinstance(value, str) else getattr(value, "__name__", None),
)
def test_a_module_that_cannot_be_trained_is_refused_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        trainer(Written(make=make))
    assert all(line.startswith("model: written") for line in str(caught.value).splitlines())


def test_a_lazy_module_learns_its_shapes_from_one_example() -> None:
    lazy = trainer(
        Written(make=lambda f, c: nn.Sequential(nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(c)))
    )
    assert lazy.layout.shapes[0] == (5, 6)
    assert np.array_equal(lazy.initial()[-11:], [0] * 5 + [1] * 5 + [0])


def test_a_parameter_that_is_not_used_stays() -> None:
    class Idle(nn.Linear):
        def __init__(self, features: int, classes: int) -> None:
            super().__init__(features, classes)
            self.idle = nn.Parameter(torch.ones(2))

    for lane in (1, 3):
        found = collect(trainer(Written(make=Idle), replace(WORK, lane=lane)), EVERYONE)
        assert not found.deltas[:, -2:].any()
        assert found.deltas[:, :-2].any()


def test_buffers_that_are_not_finite_stop_the_client_by_name() -> None:
    from fedsim.clients.delivery import Delivery

    class Poisoned(nn.Linear):
        def __init__(self, features: int, classes: int) -> None:
            super().__init__(features, classes)
            self.register_buffer("mean", torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            self.mean[1] = float("nan")
            return super().forward(x)

    made = trainer(Written(make=Poisoned))
    done = Delivery(made, None, made.initial(), np.array([0]), 1).run(lambda lane: None)
    assert [(f.kind, f.text) for f in done.failures] == [
        ("non-finite", "1 of 31 entries not finite, the first in mean at 1")
    ]
