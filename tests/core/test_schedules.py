"""Schedules of a rate against their closed forms, and against torch's own where torch has them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from fedsim.core.schedules import Schedule, catalogue
from fedsim.core.schedules.constant import Constant
from fedsim.core.schedules.cosine import Cosine
from fedsim.core.schedules.inverse_sqrt import InverseSqrt
from fedsim.core.schedules.linear import Linear
from fedsim.core.schedules.power import Power
from fedsim.core.schedules.step import Step

EXAMPLES: dict[str, Schedule] = {
    "constant": Constant(),
    "cosine": Cosine(rounds=7, min=0.02),
    "inverse_sqrt": InverseSqrt(offset=10),
    "linear": Linear(rounds=7, min=0.02),
    "power": Power(exponent=0.6),
    "step": Step(every=3, factor=0.5),
}
CLOSED: dict[str, Callable[[int], float]] = {
    "constant": lambda r: 0.4,
    "cosine": lambda r: 0.02 + 0.38 * math.cos(math.pi * min(r - 1, 7) / 14) ** 2,
    "inverse_sqrt": lambda r: 0.4 * math.sqrt(11) / math.sqrt(r + 10),
    "linear": lambda r: 0.4 - 0.38 * min(r - 1, 7) / 7,
    "power": lambda r: 0.4 * math.exp(-0.6 * math.log(r)),
    "step": lambda r: 0.4 / 2 ** math.floor((r - 1) / 3),
}


@pytest.mark.parametrize("kind", catalogue())
def test_a_schedule_is_its_closed_form_and_starts_at_the_rate_given(kind: str) -> None:
    rates = [EXAMPLES[kind].rate(0.4, count) for count in range(1, 30)]
    assert rates[0] == 0.4
    assert rates == pytest.approx([CLOSED[kind](count) for count in range(1, 30)], rel=1e-12)


@pytest.mark.parametrize("kind", ["cosine", "linear", "step"])
def test_a_schedule_is_torchs_own(kind: str) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    makers: dict[str, Callable[[], Any]] = {
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, T_max=7, eta_min=0.02),
        "linear": lambda: lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=7),
        "step": lambda: lr_scheduler.StepLR(optimizer, 3, 0.5),
    }
    theirs = makers[kind]()
    for count in range(1, 8):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(EXAMPLES[kind].rate(0.4, count), rel=1e-9)
        optimizer.step()
        theirs.step()
