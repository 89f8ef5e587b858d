"""Chance in foreign code: a seed makes it repeat, without one it is refused with its line."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import FedsimError
from fedsim.core.foreign.chance import UnseededError, no_unseeded

CODE = """
import random

import numpy as np
from torch import nn


def unseeded(input_shape, num_classes):
    np.random.default_rng().normal()
    return nn.Linear(input_shape[0], num_classes)


def drawn(seed):
    return {"x": np.random.normal(size=(60, 2)), "y": np.arange(60) % 2}


def from_nowhere():
    return {"x": np.random.default_rng().normal(size=(60, 2)), "y": np.arange(60) % 2}


class Some:
    def __init__(self, world):
        self.n = world.num_clients

    def cohort(self, round):
        return np.flatnonzero(np.random.random(self.n) < 0.5)


class Anybody(Some):
    def cohort(self, round):
        return [random.Random().randrange(self.n)]
"""
WORLD: dict[str, Any] = {
    "name": "chance",
    "rounds": 3,
    "data": {"dataset": "./mine.py:drawn", "clients": 6},
    "model": {"name": "linear"},
    "client": {"local_steps": 1},
    "participation": {"kind": "./mine.py:Some"},
}


@pytest.fixture
def world(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "mine.py").write_text(CODE)
    return WORLD | {"folder": str(tmp_path)}


def test_global_generators_are_keyed_and_put_back(world: dict[str, Any], tmp_path: Path) -> None:
    before = random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore[index]  # noqa: NPY002
    first = fedsim.run(world, out=tmp_path / "first")
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before  # type: ignore[index]  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002 - whatever the process has drawn before
    again = fedsim.run(world, out=tmp_path / "again")
    other = fedsim.run(world, seed=7, out=tmp_path / "other")
    for key in ("params_sha256", "schedule_hash"):
        assert first.summary[key] == again.summary[key] != other.summary[key]
    assert len(set(first.rounds.query("metric == 'cohort_size'")["value"])) > 1  # another draw in another round


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"model": {"name": "./mine.py:unseeded"}}, 9),
        ({"data": {"dataset": "./mine.py:from_nowhere", "clients": 6}}, 18),
        ({"participation": {"kind": "./mine.py:Anybody"}}, 31),
    ],
)
def test_what_asks_the_system_is_refused_with_its_line(
    changes: dict[str, Any], line: int, world: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(FedsimError, match=rf"mine\.py:{line}: UnseededError: .* gives other numbers every time"):
        fedsim.run(world | changes, out=tmp_path / "run")


def test_nothing_is_refused_outside(tmp_path: Path) -> None:
    with no_unseeded(), pytest.raises(UnseededError):
        random.Random()
    random.Random().random()
    np.random.default_rng().normal()
