"""A folder as a user has it: a scenario, and beside it files of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

RULE = '''
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from fedsim.core.contracts import LinearSum, Rule
from helpers import share


@dataclass(frozen=True, kw_only=True)
class Fading(Rule):
    """Average, with steps that fade."""

    fade: Annotated[float, Ge(0)] = 0.01
    """How fast they fade."""

    def start(self, params, population):
        return population

    def ask(self, state, cohort):
        return {"update": LinearSum(state.weights[cohort.clients])}

    def step(self, state, cohort, sums):
        if not len(cohort):
            return state, None
        return state, sums["update"] / share(state, cohort) / (1 + self.fade * cohort.round)
'''
HELPERS = """
def share(population, cohort):
    return float(population.weights[cohort.clients].sum())
"""
NET = '''
from math import prod

import torch
from torch import nn


class Net(nn.Module):
    """Two layers."""

    def __init__(self, input_shape, num_classes, hidden: int = 16):
        super().__init__()
        self.one = nn.Linear(prod(input_shape), hidden)
        self.two = nn.Linear(hidden, num_classes)

    def forward(self, x):
        return self.two(torch.relu(self.one(x.flatten(1))))
'''
DATA = '''
import numpy as np


def load(classes: int = 3, noise: float = 0.5):
    """Blobs on a line."""
    draw = np.random.default_rng(7)
    y = np.arange(300) % classes
    x = draw.normal(size=(300, 5)).astype("float32") * noise
    x[:, 0] += y
    return {"x": x, "y": y}
'''
SPLIT = '''
import numpy as np


def striped(labels, clients, seed, width: int = 1):
    """Neighbours go together."""
    return (np.arange(len(labels)) // width) % clients
'''
WHO = '''
import numpy as np


class InTurn:
    """Every so many rounds."""

    def __init__(self, world, every: int = 2):
        self.world, self.every = world, every

    def cohort(self, round):
        return [c for c in range(self.world.num_clients) if c % self.every == round % self.every]

    @property
    def probabilities(self):
        return np.full(self.world.num_clients, 1 / self.every)
'''
SCENARIO = """
name: own
rounds: 4
data: {dataset: ./data.py:load, noise: 0.4, clients: 6, partition: {kind: ./split.py:striped, width: 2}}
model: {name: ./net.py:Net, hidden: 12}
client: {local_steps: 2, batch_size: 8, lr: 0.1}
participation: {kind: ./who.py:InTurn, every: 3}
strategy: {name: ./rule.py:Fading, fade: 0.05}
evaluate: {every: 2}
checkpoint: {every: 2}
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder, which is the working folder too."""
    files = {
        "rule.py": RULE,
        "helpers.py": HELPERS,
        "net.py": NET,
        "data.py": DATA,
        "split.py": SPLIT,
        "who.py": WHO,
        "s.yaml": SCENARIO,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text.lstrip())
    monkeypatch.chdir(tmp_path)
    return tmp_path
