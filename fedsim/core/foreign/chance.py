"""Chance in foreign code: global generators are keyed while it runs, and what asks the system is refused.

`numpy.random.default_rng()` and `random.Random()` without a seed and `torch.seed()` are told with the user's own line.
The functions by which the libraries ask are replaced once, when foreign code first runs, and pass everything on unless
foreign code is running in this context and one of its own lines asks. What draws from `os.urandom` by itself, or calls
`seed()` of a torch generator of its own, is not seen.
"""

from __future__ import annotations

import linecache
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import FrameType
from typing import Any

import numpy as np

from fedsim.core.foreign.files import is_library

ENTROPY = "randbits"
"""The function by which numpy's generators ask the system, in their module."""

_watching: ContextVar[bool] = ContextVar("watching", default=False)
_replaced: set[tuple[str, Any]] = set()


class UnseededError(RuntimeError):
    """Code asked the system for chance."""


@contextmanager
def no_unseeded() -> Iterator[None]:
    """Refuse, inside this block, what would take chance from the system.

    Raises
    ------
    UnseededError : where it is asked for.
    """
    _install()
    token = _watching.set(True)
    try:
        yield
    finally:
        _watching.reset(token)


@contextmanager
def keyed(*key: int) -> Iterator[None]:
    """Set the global generators of `random`, numpy and torch, where it is loaded, to a key; put them back behind it."""
    number = int(np.random.SeedSequence(key).generate_state(1)[0])
    python, legacy, torch = random.getstate(), np.random.get_state(), sys.modules.get("torch")  # noqa: NPY002
    generator = getattr(torch, "default_generator", None)
    state = None if generator is None else generator.get_state()
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - it is the foreign code's generator, not ours
    if generator is not None:
        generator.manual_seed(number)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        if generator is not None:
            generator.set_state(state)


def _install() -> None:
    """Replace what is not replaced yet; torch only where it has been imported."""
    torch = sys.modules.get("torch")
    places: list[tuple[Any, str, Callable[[Any], Any]]] = [
        (random.Random, "seed", _seeding),
        (np.random.bit_generator, ENTROPY, partial(_asking, what="a numpy generator without a seed")),
        *([(torch, "seed", partial(_asking, what="torch.seed()"))] if hasattr(torch, "seed") else []),
    ]
    for holder, name, watched in places:
        if (name, holder) not in _replaced:
            _replaced.add((name, holder))
            setattr(holder, name, watched(getattr(holder, name)))


def _seeding(seed: Any) -> Any:
    def seeding(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None and _watching.get() and _foreign(sys._getframe(2)):  # behind Random.__init__
            raise UnseededError(_text("random.Random() without a seed"))
        seed(self, a, version)

    return seeding


def _asking(ask: Any, what: str) -> Any:
    def asking(*given: Any) -> Any:
        if _watching.get() and _foreign(sys._getframe(1)):
            raise UnseededError(_text(what))
        return ask(*given)

    return asking


def _foreign(frame: FrameType) -> bool:
    """Return whether code that is no library's asks; numpy's Philox asks even when it is given a key."""
    file = frame.f_code.co_filename
    return not is_library(file) and "Philox" not in linecache.getline(file, frame.f_lineno)


def _text(what: str) -> str:
    return f"{what} gives other numbers every time; give it a seed, or use the generator that you were given"
