"""Evaluation is the mean over the held-out examples, or the exact objective."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedsim.clients.evaluation import Evaluator
from fedsim.core import Examples, Layout, ScenarioError
from fedsim.data import QuadraticData
from fedsim.models.cnn import Cnn
from fedsim.models.linear import Linear
from fedsim.models.point import Point
from tests.clients.fakes import ragged

UNIFORM = np.full(7, 1 / 7)


def test_loss_and_accuracy_are_those_of_the_definition() -> None:
    stream = np.random.default_rng(1)
    test = Examples(stream.standard_normal((1500, 6)).astype(np.float32), stream.integers(0, 4, 1500))
    layout = Layout(("layers.0.weight", "layers.0.bias"), ((4, 6), (4,)))
    params = Linear(init="torch").start(layout, 1)
    views = {name: value.astype(np.float64) for name, value in layout.views(params).items()}
    logits = test.x.astype(np.float64) @ views["layers.0.weight"].T + views["layers.0.bias"]
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(1500), test.y]
    found = Evaluator(Linear(), replace(ragged((6,)), test=test), UNIFORM).evaluate(params)
    np.testing.assert_allclose(found["loss"], losses.mean(), rtol=1e-6)
    assert found["accuracy"] == (logits.argmax(1) == test.y).mean()


def test_evaluating_twice_gives_the_same_bits_and_draws_nothing() -> None:
    evaluator = Evaluator(Cnn(), ragged((1, 8, 8)), UNIFORM)
    params = np.random.default_rng(0).standard_normal(59_300).astype(np.float32)
    state = torch.get_rng_state()
    first = evaluator.evaluate(params)
    evaluator.evaluate(0 * params)
    assert evaluator.evaluate(params) == first
    assert torch.equal(torch.get_rng_state(), state)


def test_a_quadratic_is_evaluated_by_its_objective_and_its_optimum() -> None:
    data = QuadraticData(np.array([[0.0], [2.0], [6.0]]), np.array([1.0, 2.0, 1.0]), 0.0)
    found = Evaluator(Point(init=(4.0,)), data, np.array([0.5, 0.25, 0.25])).evaluate(np.array([4.0], np.float32))
    # optimum: (0.5*0 + 0.5*2 + 0.25*6) / 1.25 = 2; objective: 0.25*16 + 0.25*4 + 0.125*4
    assert found == {"loss": 5.5, "distance": 2.0}


def test_data_without_a_held_out_split_is_refused() -> None:
    with pytest.raises(ScenarioError, match="no examples are held out"):
        Evaluator(Linear(), replace(ragged((6,)), test=None), UNIFORM)
