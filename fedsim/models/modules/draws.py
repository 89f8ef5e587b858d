"""Keyed generators for a module's own draws: torch's, numpy's and Python's global ones, lent and put back.

A module draws its starting values and its dropout from global generators. While it does so these are set to a key, and
afterwards they are as they were: nothing outside notices, and a draw depends on its key alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

CPU = torch.device("cpu")


@contextmanager
def kept(device: torch.device = CPU) -> Iterator[None]:
    """Put all global generators back behind this block."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one is what a module uses
    generators = _generators(device)
    states = [generator.get_state() for generator in generators]
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def turn(key: int, device: torch.device = CPU) -> None:
    """Set all global generators to a key; only inside `kept`."""
    random.seed(key)
    np.random.seed(key % 2**32)  # noqa: NPY002
    for generator in _generators(device):  # torch.manual_seed takes a hundred times as long
        generator.manual_seed(key % 2**63)


def reseeded(key: int) -> bool:
    """Return whether somebody has seeded torch's global generator since `turn(key)`."""
    return torch.default_generator.initial_seed() != key % 2**63


def drawn_since(key: int, device: torch.device = CPU) -> bool:
    """Return whether anything was drawn since `turn(key, device)`."""
    now = _state(device)
    with kept(device):
        turn(key, device)
        return now != _state(device)


def _state(device: torch.device) -> tuple[Any, ...]:
    legacy: Any = np.random.get_state()  # noqa: NPY002
    words = [generator.get_state().numpy().tobytes() for generator in _generators(device)]
    return (*words, legacy[1].tobytes(), legacy[2:], random.getstate())


def _generators(device: torch.device) -> list[torch.Generator]:
    if device.type != "cuda":
        return [torch.default_generator]
    torch.cuda.init()  # type: ignore[no-untyped-call]
    place = torch.cuda.current_device() if device.index is None else device.index
    return [torch.default_generator, torch.cuda.default_generators[place]]
