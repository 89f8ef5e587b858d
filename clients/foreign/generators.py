"""The generators that foreign code draws from: seeded by a key while it runs, put back afterwards.

Python's `random`, `numpy.random` and torch have one each for the whole process. What asks the system for chance instead
is refused (`fedsim.core.foreign.chance`): its result would not repeat.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np


@cache
def _accelerated() -> bool:
    import torch

    return bool(torch.accelerator.is_available())


def seed_generators(*key: int) -> None:
    """Seed the generators of the process.

    `torch.manual_seed` also formats the stack for devices that are not there, a thousand times the cost of the rest.
    """
    import torch

    number = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - it is the foreign code's generator, not ours
    if _accelerated():
        torch.manual_seed(number)
    else:
        torch.default_generator.manual_seed(number)


def generators() -> tuple[Any, Any, Any]:
    """Return the states of the generators of the process."""
    import torch

    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002


def put_back(states: tuple[Any, Any, Any]) -> None:
    """Put the generators into states that `generators` returned."""
    import torch

    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed the generators for a block, and put them back: they belong to the process."""
    before = generators()
    seed_generators(*key)
    try:
        yield
    finally:
        put_back(before)
