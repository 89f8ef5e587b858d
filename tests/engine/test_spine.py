"""The whole program against mathematics done elsewhere: by hand, in closed form, or in a plain PyTorch loop."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import fedsim
from fedsim.api import read
from fedsim.cli import main
from fedsim.clients import batches
from fedsim.engine.experiment import build

TOY = """
name: toy
rounds: {rounds}
data: {{dataset: quadratic, centers: [[0.0], [2.0], [6.0]]}}
model: {{name: point, init: [4.0]}}
client: {{local_steps: 1, lr: 0.5}}
participation: {{kind: schedule, cohorts: [[0, 1], [0, 2], [], [0, 1], [2]]}}
strategy: {strategy}
"""

# Worked out by hand with exact fractions, from the equations in each rule's docstring; the point after rounds 1 to 5.
P = "probabilities: [1.0, 0.5, 0.25]"
BY_HAND = {
    "{name: fedavg, normalise: participants}": "5/2 11/4 11/4 15/8 63/16",
    "{name: fedavg, normalise: population}": "3 3 3 7/3 53/18",
    f"{{name: fedstale, beta: 0, {P}}}": "8/3 40/9 40/9 26/9 134/27",
    f"{{name: fedstale, beta: 0.5, {P}}}": "8/3 77/18 25/6 115/36 100/27",
    f"{{name: fedstale, beta: 1, {P}}}": "8/3 37/9 35/9 7/2 137/54",
    f"{{name: fedstale, beta: 1, on_empty: skip, {P}}}": "8/3 37/9 37/9 65/18 5/2",
    "{name: fedvarp, normalise: participants}": "5/2 11/4 31/12 11/4 193/72",
    "{name: mifa}": "3 8/3 7/3 43/18 275/108",
    "{name: fedau, cutoff: 2}": "3 3 3 9/4 7/2",
    "{name: fedau, cutoff: 50}": "3 3 3 7/3 32/9",
    # the same numbers under their other names
    f"{{name: fedavg, normalise: inverse_probability, {P}}}": "8/3 40/9 40/9 26/9 134/27",
    f"{{name: fedvarp, normalise: inverse_probability, {P}}}": "8/3 37/9 35/9 7/2 137/54",
}


@pytest.mark.parametrize("strategy", BY_HAND)
def test_a_toy_run_from_its_file_ends_where_paper_and_pencil_end(strategy: str, tmp_path: Path) -> None:
    found, expected = [], [float(Fraction(number)) for number in BY_HAND[strategy].split()]
    for rounds in range(1, 6):
        file, out = tmp_path / f"toy-{rounds}.yaml", tmp_path / str(rounds)
        file.write_text(TOY.format(rounds=rounds, strategy=strategy))
        assert main(["run", str(file), "--out", str(out), "--quiet"]) == 0
        with np.load(out / "params.npz") as params:
            assert params.files == ["point"]
            found.append(float(params["point"].item()))
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_shipped_toy_moves_as_its_comment_says(tmp_path: Path) -> None:
    file = Path("scenarios/toy.yaml")
    row = next(line for line in file.read_text().splitlines() if line.startswith("#   point"))
    for rounds, number in enumerate(row.split()[2:], start=1):
        run = fedsim.run(file, out=tmp_path / str(rounds), rounds=rounds)
        with np.load(run.folder / "params.npz") as params:
            assert params["point"].item() == pytest.approx(float(Fraction(number)), abs=1e-6)


def test_fedavg_of_everybody_with_one_step_is_gradient_descent_in_closed_form(tmp_path: Path) -> None:
    centers, curvature = np.array([[0.0, 1.0], [2.0, -3.0], [6.0, 0.5], [-1.0, 4.0]]), np.array([0.5, 1.0, 1.5, 0.2])
    start, lr, rounds = np.array([4.0, -2.0]), 0.3, 25
    scenario = {
        "name": "gradient-descent",
        "rounds": rounds,
        "data": {"dataset": "quadratic", "centers": centers.tolist(), "curvature": curvature.tolist()},
        "model": {"name": "point", "init": start.tolist()},
        "client": {"local_steps": 1, "lr": lr},
    }
    run = fedsim.run(scenario, out=tmp_path / "run")
    # F(w) = mean_i c_i/2 ||w - z_i||^2 has the optimum w* and one curvature; each step shrinks w - w* by 1 - lr * c
    optimum = (curvature[:, None] * centers).sum(axis=0) / curvature.sum()
    closed_form = optimum + (1 - lr * curvature.mean()) ** rounds * (start - optimum)
    with np.load(run.folder / "params.npz") as params:
        np.testing.assert_allclose(params["point"], closed_form, rtol=1e-6)
    assert run.final["distance"] == pytest.approx(np.linalg.norm(closed_form - optimum), abs=1e-6)


@pytest.mark.parametrize("work", [{"local_steps": 3}, {"local_epochs": 2}], ids=["steps", "epochs"])
def test_fedavg_on_digits_equals_a_plain_pytorch_loop_over_the_same_batches(
    work: dict[str, int], tmp_path: Path
) -> None:
    scenario = {
        "name": "plain-loop",
        "seed": 5,
        "rounds": 4,
        "data": {"dataset": "digits", "clients": 12, "partition": {"kind": "dirichlet", "alpha": 0.3}},
        "model": {"name": "linear"},
        "client": {**work, "batch_size": 16, "lr": 0.5},
        "participation": {"kind": "uniform", "size": 5},
        "strategy": {"name": "fedavg", "weights": "examples"},
    }
    run = fedsim.run(scenario, out=tmp_path / "run")
    experiment = build(read(scenario, {}))
    counts = experiment.data.num_examples

    model = torch.nn.Linear(64, 10)
    names = list(experiment.trainer.layout.names)
    start = experiment.trainer.layout.views(experiment.trainer.initial())
    model.load_state_dict({name.rsplit(".", 1)[1]: torch.tensor(start[name]) for name in names})
    for round in range(1, 5):
        cohort = experiment.process.cohort(round)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        after = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in before.items()}
        for client in cohort:
            who = np.array([client])
            drawn = batches.draw(experiment.scenario.client, 5, round, who, counts[who])
            model.load_state_dict(before)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
            for step, size in enumerate(drawn.cuts.of(0)):
                batch = experiment.data.rows(who, drawn.positions[:, step, :size])
                optimizer.zero_grad()
                loss = cross_entropy(model(torch.tensor(batch.x[0]).flatten(1)), torch.tensor(batch.y[0]))
                loss.backward()
                optimizer.step()
            share = counts[client] / counts[cohort].sum()
            for name, value in model.state_dict().items():
                after[name] += share * value.double()
        model.load_state_dict({name: value.float() for name, value in after.items()})

    with np.load(run.folder / "params.npz") as params:
        for name in names:
            mine = model.state_dict()[name.rsplit(".", 1)[1]].numpy()
            np.testing.assert_allclose(params[name], mine, rtol=1e-4, atol=2e-6)
