"""What goes into every gradient beside the loss: the same in every kernel, and nothing where it is nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedsim.clients.training import Trainer
from fedsim.core import LocalWork
from fedsim.core.client_half import Given
from fedsim.core.contracts import Ids
from fedsim.models import Model
from fedsim.models.cnn import Cnn
from fedsim.models.linear import Linear
from fedsim.models.mlp import Mlp
from tests.clients.fakes import COUNTS, collect, ragged

EVERYONE = np.arange(len(COUNTS))
KERNELS: dict[str, tuple[Model, tuple[int, ...], int]] = {
    "sequential": (Linear(), (6,), 1),
    "stack": (Mlp(hidden=(8, 5)), (6,), 7),
    "vmap": (Cnn(channels=(3,), dense=()), (1, 6, 6), 7),
}
each_kernel = pytest.mark.parametrize("kernel", KERNELS)
WORKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {"momentum": 0.5, "weight_decay": 0.1, "proximal_mu": 0.3},
    "clipped": {"clip_norm": 0.5},
}


def trainer(kernel: str, lane: int | None = None, **work: Any) -> Trainer:
    model, shape, usual = KERNELS[kernel]
    made = Trainer(model, LocalWork(local_epochs=2, batch_size=4, lane=lane or usual, **work), ragged(shape), seed=7)
    assert made.plan.kernel == ("sequential" if lane == 1 else kernel)
    return made


def shifted(one: Trainer, scale: float = 0.5, pull: float = 0.0, rate: float = 1.0) -> Callable[[Ids], Given]:
    rows = np.random.default_rng(5).standard_normal((len(COUNTS), one.layout.size)).astype(np.float32)
    return lambda clients: Given(np.float32(scale) * rows[clients], None, pull, rate)


@each_kernel
@pytest.mark.parametrize("work", WORKS)
def test_a_shift_of_zero_changes_no_bit(kernel: str, work: str) -> None:
    one = trainer(kernel, **WORKS[work])
    plain, zero = collect(one, EVERYONE), collect(one, EVERYONE, given=shifted(one, 0.0))
    assert zero.deltas.tobytes() == plain.deltas.tobytes()


@each_kernel
@pytest.mark.parametrize("work", WORKS)
def test_lanes_shift_as_the_plain_loop_does(kernel: str, work: str) -> None:
    lane, loop = trainer(kernel, **WORKS[work]), trainer(kernel, lane=1, **WORKS[work])
    got, wanted = (collect(one, EVERYONE, given=shifted(one)).deltas for one in (lane, loop))
    norms = np.linalg.norm(wanted, axis=1)
    assert (np.linalg.norm(got - wanted, axis=1) <= 1e-5 * norms).all()
    assert (norms[COUNTS > 0] > np.linalg.norm(collect(loop, EVERYONE).deltas, axis=1)[COUNTS > 0]).any()


@each_kernel
def test_a_pull_is_fedprox_bit_for_bit(kernel: str) -> None:
    pulled, proximal = trainer(kernel), trainer(kernel, proximal_mu=0.3)
    one = collect(pulled, EVERYONE, given=lambda clients: Given(pull=0.3))
    assert one.deltas.tobytes() == collect(proximal, EVERYONE).deltas.tobytes()


@each_kernel
def test_a_factor_of_the_rate_is_that_rate(kernel: str) -> None:
    half, slow = trainer(kernel, lr=0.5), trainer(kernel, lr=0.25)
    one = collect(half, EVERYONE, given=lambda clients: Given(rate=0.5))
    assert one.deltas.tobytes() == collect(slow, EVERYONE).deltas.tobytes()


@each_kernel
def test_a_client_that_starts_elsewhere_tells_its_way_from_the_model(kernel: str) -> None:
    one = trainer(kernel)
    model = one.initial()
    elsewhere = model + np.random.default_rng(6).standard_normal((len(COUNTS), len(model))).astype(np.float32)
    from_there = collect(one, EVERYONE, params=elsewhere).deltas
    moved = collect(one, EVERYONE, given=lambda clients: Given(start=elsewhere[clients])).deltas
    np.testing.assert_allclose(moved, from_there + elsewhere - model, atol=1e-6)


@each_kernel
def test_the_gradient_at_a_model_is_that_of_all_examples(kernel: str) -> None:
    one, (model, shape, _) = trainer(kernel), KERNELS[kernel]
    whole = Trainer(model, LocalWork(local_epochs=1, batch_size=20, lr=0.01), ragged(shape), seed=7)
    steps = collect(whole, EVERYONE, params=one.initial()).deltas / -0.01
    np.testing.assert_allclose(one.gradient(one.initial(), EVERYONE), steps, atol=2e-4)
