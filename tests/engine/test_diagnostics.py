"""What a strategy tells of itself, and that nothing is guessed from the names of its options or of its state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

import fedsim
from fedsim.core import Cohort, Diagnostics, LinearSum, Population, Rule
from fedsim.core.contracts import Parameters, Sums, Vector
from fedsim.engine.run.run import Run
from fedsim.scenario import from_dict
from fedsim.store.database import Store

SCENARIO: dict[str, Any] = {
    "name": "told",
    "seed": 3,
    "rounds": 4,
    "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]]},
    "model": {"name": "point", "init": [4.0]},
    "client": {"local_steps": 1, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": 0.7},
    "strategy": {"name": "fedavg"},
    "memory": {"audit": 1},
    "evaluate": {"every": 2},
}


@dataclass(frozen=True)
class Mean:
    """A mean of something else."""

    mean: Vector
    estimator: float
    population: Population


@dataclass(frozen=True, kw_only=True)
class Homonyms(Rule):
    """A rule with memories whose words mean other things than those of the rules that ship."""

    remembers: ClassVar[bool] = True
    name: Literal["homonyms"] = "homonyms"
    cutoff: int = 7

    def start(self, params: Parameters, population: Population) -> Mean:
        return Mean(np.zeros(len(params)), 1.0, population)

    def ask(self, state: Mean, cohort: Cohort) -> dict[str, LinearSum]:
        weights = state.population.weights[cohort.clients]
        return {"update": LinearSum(weights, 0.5 * weights)}

    def step(self, state: Mean, cohort: Cohort, sums: Sums) -> tuple[Mean, Vector | None]:
        return state, sums["update"]


@dataclass(frozen=True, kw_only=True)
class Talkative(Homonyms):
    """A rule that tells a metric, an estimate and something of its own per client."""

    def diagnostics(self, state: Mean, cohort: Cohort) -> Diagnostics:
        vectors = {"weight": np.array([1.0, 2.0, 3.0]), "trust": np.arange(3.0) + cohort.round}
        return Diagnostics({"num_cutoffs": float(len(cohort))}, vectors)


def run_with(rule: Rule, out: Path) -> Run:
    return fedsim.run(replace(from_dict(SCENARIO), strategy=rule), out=out)


def columns(run: Run) -> list[str]:
    return (run.folder / "rounds.csv").read_text().splitlines()[0].split(",")


def test_a_field_that_is_called_mean_is_no_memory_mean(tmp_path: Path) -> None:
    run = run_with(Homonyms(), tmp_path / "run")
    assert "memory_drift" not in columns(run)
    assert run.rounds.query("metric == 'memory_drift'").empty


def test_a_field_that_is_called_cutoff_is_no_estimate(tmp_path: Path) -> None:
    run = run_with(Homonyms(), tmp_path / "run")
    assert {"num_cutoffs", "weight_bias", "weight_variance"}.isdisjoint(columns(run))


def test_what_a_rule_tells_becomes_a_column(tmp_path: Path) -> None:
    run = run_with(Talkative(), tmp_path / "run")
    told = run.rounds.query("metric == 'num_cutoffs'")
    sizes = run.rounds.query("metric == 'cohort_size'")
    assert told["value"].tolist() == sizes["value"].tolist()
    assert "num_cutoffs" in columns(run)


def test_an_estimate_is_compared_with_the_probabilities_of_the_process(tmp_path: Path) -> None:
    run = run_with(Talkative(), tmp_path / "run")
    told = run.rounds.query("metric == 'weight_bias'")["value"]
    np.testing.assert_allclose(told, 0.7 * 2.0 - 1.0)


def test_a_vector_of_the_rules_own_is_told_in_rounds_that_are_evaluated(tmp_path: Path) -> None:
    run = run_with(Talkative(), tmp_path / "run")
    with Store(run.summary["store"]) as store:
        found = store.vectors(run.id, "trust")
    assert {round: vector.tolist() for round, vector in found.items()} == {2: [2.0, 3.0, 4.0], 4: [4.0, 5.0, 6.0]}
