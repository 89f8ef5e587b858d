"""The generators that foreign code draws from: seeded by a key while it runs, put back afterwards.

Python's `random`, `numpy.random` and torch have one each for the whole process. What asks the system for chance instead
(`numpy.random.default_rng()` without a seed, `random.Random()`, `torch.seed()`) is refused while a user's local work
runs: its result would not repeat.
"""

from __future__ import annotations

import linecache
import random
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import numpy as np

from fedsim import core

LIBRARIES = (
    sysconfig.get_path("stdlib"),
    "<frozen",
    str(Path(core.__file__).parents[1]),
    str(Path(__file__).parents[1]),
)
"""Where code is that may ask the system for chance; what is installed may number its files as it likes."""
ENTROPY = "randbits"
"""The function by which numpy's generators ask the system, in their module."""


class UnseededError(RuntimeError):
    """Code asked the system for chance."""


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


@contextmanager
def no_unseeded() -> Iterator[None]:
    """Refuse, inside this block, what would take chance from the system.

    Raises
    ------
    UnseededError : where it is asked for.
    """
    import torch

    seed, randbits, torch_seed = random.Random.seed, getattr(np.random.bit_generator, ENTROPY), torch.seed

    def seeding(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None and _foreign(sys._getframe(2)):  # behind Random.__init__
            raise UnseededError(_text("random.Random() without a seed"))
        seed(self, a, version)

    def bits(count: int) -> int:
        if _foreign(sys._getframe(1)):
            raise UnseededError(_text("a numpy generator without a seed"))
        found: int = randbits(count)
        return found

    def reseeding() -> int:
        if _foreign(sys._getframe(1)):
            raise UnseededError(_text("torch.seed()"))
        return torch_seed()

    with (
        patch.object(random.Random, "seed", seeding),
        patch.object(np.random.bit_generator, ENTROPY, bits),
        patch.object(torch, "seed", reseeding),
    ):
        yield


def _foreign(frame: FrameType) -> bool:
    """Return whether code that is no library's asks; numpy's Philox asks even when it is given a key."""
    file = frame.f_code.co_filename
    if file.startswith(LIBRARIES) or "site-packages" in file:
        return False
    return "Philox" not in linecache.getline(file, frame.f_lineno)


def _text(what: str) -> str:
    return f"{what} gives other numbers every time; use `rng`, or a seed"
