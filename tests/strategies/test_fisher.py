"""Fisher-weighted averages: by hand, where they are FedAvg, where they are exact, and what information is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax

import fedsim
from fedsim.clients.training import Trainer
from fedsim.core import Cohort, LocalWork, Population, ScenarioError
from fedsim.core.client_half import Before, Trained
from fedsim.data.digits import Digits
from fedsim.engine.run.run import resume
from fedsim.models.linear import Linear
from fedsim.models.modules.information import information
from fedsim.scenario import from_dict
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.fisher import Fisher
from fedsim.task.losses.bce import Bce
from fedsim.task.losses.cross_entropy import CrossEntropy
from fedsim.task.losses.mse import Mse

LANE = Before(1, np.zeros(2), {}, np.zeros(2, bool), {}, {})


def merged(x: Any, models: Any, information: Any, examples: Any = (1, 1), rule: Any = None) -> np.ndarray:
    """Return where a round leads from x, when clients come back with these models and informations, in float64."""
    rule, x = rule or Fisher(), np.asarray(x, float)
    counts = np.array(examples)
    crowd = Population(counts, counts / counts.sum())
    cohort, delta = Cohort(1, np.arange(len(counts))), np.asarray(models, float) - x
    ones = np.ones(len(counts), np.int64)
    made = {"delta": delta}
    made |= rule.remember(LANE, Trained(delta, ones, np.ones(len(ones)), fisher=np.asarray(information, float)))
    state = rule.start(x.astype(np.float32), crowd)
    sums = {name: one.fresh @ made[one.of] for name, one in rule.ask(state, cohort).items()}
    return np.asarray(x + rule.step(state, cohort, sums)[1])


def test_two_models_are_merged_as_by_hand() -> None:
    assert merged([0, 0], [(1, 4), (3, 0)], [(1, 3), (3, 1)]).tolist() == [2.5, 3.0]
    np.testing.assert_allclose(merged([7, -2], [(1, 4), (3, 0)], [(1, 3), (3, 1)]), [2.5, 3.0], rtol=1e-15)


def test_equal_information_is_fedavg() -> None:
    chance = np.random.default_rng(1)
    models, same = chance.normal(size=(3, 5)), np.tile(chance.uniform(0.1, 9, size=5), (3, 1))
    plain = merged(np.zeros(5), models, same, (2, 3, 5), FedAvg(normalise="participants"))
    np.testing.assert_allclose(merged(np.zeros(5), models, same, (2, 3, 5)), plain, rtol=1e-14)


def test_a_coordinate_that_nobody_knows_is_that_of_the_weighted_mean() -> None:
    found = merged([0, 0], [(1, 4), (3, 0)], [(0, 3), (0, 1)], (1, 3))
    assert found.tolist() == [0.25 * 1 + 0.75 * 3, (0.25 * 3 * 4) / (0.25 * 3 + 0.75 * 1)]


def test_on_orthogonal_designs_it_is_the_pooled_least_squares() -> None:
    chance = np.random.default_rng(2)
    counts, designs, targets, models, informations = [12, 20, 7], [], [], [], []
    for count in counts:
        design = np.linalg.qr(chance.normal(size=(count, 4)))[0] * chance.uniform(0.5, 2, size=4)
        target = chance.normal(size=count)
        square = (design**2).sum(axis=0)
        designs.append(design), targets.append(target)
        models.append(design.T @ target / square), informations.append(square / count)
    pooled = np.linalg.lstsq(np.concatenate(designs), np.concatenate(targets), rcond=None)[0]
    found = merged(np.zeros(4), models, informations, counts, Fisher(weights="examples"))
    np.testing.assert_allclose(found, pooled, atol=1e-15, rtol=1e-14)


def test_information_is_the_expectation_over_all_classes() -> None:
    torch.manual_seed(0)
    module, x = torch.nn.Linear(3, 4), torch.randn(6, 3)
    weights = {name: value.detach() for name, value in module.named_parameters()}
    wanted = torch.zeros(16)
    for one in x:
        for label in range(4):
            logs = log_softmax(module(one), dim=0)
            parts = torch.autograd.grad(logs[label], list(module.parameters()))
            wanted += logs[label].exp().detach() * torch.cat([part.flatten() for part in parts]).square()
    torch.testing.assert_close(information(module, CrossEntropy(), weights, x).float(), wanted)
    p = torch.sigmoid(module(x)).detach()
    yes_or_no = (p * (1 - p)).T @ x.square()
    torch.testing.assert_close(information(module, Bce(), weights, x).float()[:12].view(4, 3), yes_or_no)
    squares = information(module, Mse(), weights, x).float()
    torch.testing.assert_close(squares, torch.cat([x.square().sum(0).repeat(4), torch.full((4,), 6.0)]))


def test_a_clients_information_does_not_depend_on_its_company() -> None:
    data = Digits(clients=5).load(1, "")
    trainer = Trainer(Linear(), LocalWork(local_steps=1, lr=0.1), data, 1)
    start = trainer.initial()
    deltas = np.random.default_rng(0).normal(size=(3, len(start))).astype(np.float32) * 0.1
    together = trainer.fisher(start, deltas, np.array([0, 2, 3]))
    alone = trainer.fisher(start, deltas[1:2], np.array([2]))
    assert together[1].tobytes() == alone[0].tobytes()
    assert (together >= 0).all()
    assert together.max() > 0


QUADRATIC = {
    "name": "merge",
    "rounds": 1,
    "data": {"dataset": "quadratic", "centers": [[0.0], [4.0]], "curvature": [1.0, 3.0]},
    "model": {"name": "point", "init": [1.0]},
    "client": {"local_steps": 300, "lr": 0.1},
    "strategy": {"name": "fisher"},
}


def test_one_shot_of_long_training_ends_at_the_optimum_of_quadratics(tmp_path: Path) -> None:
    run = fedsim.run(QUADRATIC, out=tmp_path / "fisher")
    assert run.summary["final"]["distance"] < 1e-6
    plain = fedsim.run(QUADRATIC | {"strategy": {"name": "fedavg"}}, out=tmp_path / "plain")
    assert plain.summary["final"]["distance"] == pytest.approx(1.0, abs=1e-6)


DIGITS: dict[str, Any] = {
    "name": "fisher",
    "seed": 4,
    "rounds": 6,
    "data": {"dataset": "digits", "clients": 7},
    "model": {"name": "linear"},
    "client": {"local_steps": 3, "batch_size": 8, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": 0.5},
    "strategy": {"name": "fisher", "weights": "examples"},
    "evaluate": {"every": 6},
}


@pytest.mark.slow
def test_hosts_and_a_break_leave_the_bits(tmp_path: Path) -> None:
    whole = fedsim.run(DIGITS | {"engine": {"kind": "serial"}}, out=tmp_path / "whole")
    fedsim.run(DIGITS | {"rounds": 3, "engine": {"kind": "serial"}}, out=tmp_path / "part")
    resumed = resume(tmp_path / "part", rounds=6)
    hosts = fedsim.run(DIGITS | {"engine": {"kind": "processes", "hosts": 2}}, out=tmp_path / "hosts")
    told = "params_sha256"
    assert resumed.summary[told] == hosts.summary[told] == whole.summary[told]


def test_a_loss_that_is_no_likelihood_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"task\.loss: fisher weighs by how sure a model is"):
        from_dict(DIGITS | {"task": {"loss": "huber"}, "data": {"dataset": "table", "path": "x.csv", "target": "y"}})
