"""The probe against formulas: Monte Carlo within its error, closed forms exact, and nothing of the run disturbed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar

import numpy as np
import pytest

import fedsim
from fedsim.core import Cohort, ScenarioError
from fedsim.core.contracts import Sums, Vector
from fedsim.engine.experiment.probe import family
from fedsim.scenario import Scenario, from_dict
from fedsim.strategies import catalogue, shorthands
from fedsim.strategies.fedavg import FedAvg

SCENARIO: dict[str, Any] = {
    "name": "probe",
    "seed": 3,
    "rounds": 12,
    "data": {"dataset": "digits", "clients": 12, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "linear"},
    "client": {"local_steps": 2, "batch_size": 16, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": {"law": "uniform", "low": 0.2, "high": 0.9}},
    "strategy": {"name": "fedstale", "beta": 0.7},
    "evaluate": {"every": 100},
    "probe": {"every": 6, "draws": 600, "betas": [0.0, 0.7, 1.0]},
}


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    run = fedsim.run(SCENARIO, out=tmp_path_factory.mktemp("probe") / "run")
    table: dict[str, dict[str, float]] = dict(run.summary["probe"])
    assert table.pop("round") == 12
    return table


def test_the_probe_shows_the_whole_family(probed: dict[str, dict[str, float]]) -> None:
    assert set(probed) == {
        "this", "fedavg", "fedavg_population", "fedavg_inverse_probability", "fedvarp", "fedvarp_inverse_probability",
        "fedau", "mifa", "fedstale_0", "fedstale_0.7", "fedstale_1", "fedar", "fednova",
    }  # fmt: skip


def test_sampled_variance_agrees_with_the_closed_form_within_its_error(probed: dict[str, dict[str, float]]) -> None:
    closed = {tag: found for tag, found in probed.items() if "variance_exact" in found}
    assert set(closed) == set(probed) - {"fedavg", "fedvarp", "fedar", "fednova"}  # these divide by the realised cohort
    for tag, found in closed.items():
        assert abs(found["variance"] - found["variance_exact"]) <= 4 * found["error"], tag


def test_sampled_bias_agrees_with_the_closed_form_within_its_error(probed: dict[str, dict[str, float]]) -> None:
    draws = SCENARIO["probe"]["draws"]
    for tag, found in probed.items():
        if "bias2_exact" in found:
            bias2, variance = found["bias2_exact"], found["variance_exact"]
            noise = np.sqrt(4 * bias2 * variance / draws + 2 * (variance / draws) ** 2)
            assert abs(found["bias2"] - bias2) <= 4 * noise + 1e-12, tag


def test_the_unbiased_forms_have_no_bias(probed: dict[str, dict[str, float]]) -> None:
    for tag in ("this", "fedavg_inverse_probability", "fedvarp_inverse_probability", "fedstale_0.7", "fedstale_1"):
        assert probed[tag]["bias2_exact"] <= 1e-12 * (1 + probed[tag]["variance_exact"])


def test_a_strategy_equals_its_own_shadow(probed: dict[str, dict[str, float]]) -> None:
    assert probed["this"] == probed["fedstale_0.7"]
    assert probed["fedstale_0"]["variance"] == pytest.approx(probed["fedavg_inverse_probability"]["variance"])


def test_a_probe_changes_no_bit_of_the_run(tmp_path: Path) -> None:
    plain = {**SCENARIO, "probe": None}
    with_probe = fedsim.run(SCENARIO, out=tmp_path / "a", probe__draws=2)
    without = fedsim.run(plain, out=tmp_path / "b")
    assert with_probe.summary["params_sha256"] == without.summary["params_sha256"]
    assert with_probe.summary["scenario_hash"] == without.summary["scenario_hash"]


def test_the_probe_works_for_rules_without_memory_and_for_chains(tmp_path: Path) -> None:
    run = fedsim.run(
        {
            **SCENARIO,
            "strategy": {"name": "fedau"},
            "participation": {"kind": "markov", "probabilities": 0.4, "activation": 0.2},
            "probe": {"every": 12, "draws": 50},
        },
        out=tmp_path / "run",
    )
    assert run.summary["probe"]["this"]["variance_exact"] > 0
    # memories were switched on: the memory methods have something to work with
    assert run.summary["probe"]["mifa"]["variance"] < run.summary["probe"]["fedavg_population"]["variance"]


@pytest.mark.parametrize("participation", [{"kind": "schedule", "cohorts": [[0, 1], [2]]}])
def test_a_single_history_cannot_be_probed(participation: Any, tmp_path: Path) -> None:
    fixed = {**SCENARIO, "participation": participation, "strategy": {"name": "fedavg"}}
    with pytest.raises(ScenarioError, match=r"probe: .* schedule"):
        fedsim.run(from_dict(fixed), out=tmp_path / "run")


def test_a_long_vector_is_probed_through_a_sketch(tmp_path: Path) -> None:
    wide = {**SCENARIO, "model": {"name": "mlp", "hidden": [160]}, "rounds": 6, "probe": {"every": 6, "draws": 20}}
    run = fedsim.run(wide, out=tmp_path / "run")
    found = run.summary["probe"]["fedavg_inverse_probability"]
    assert found["bias2_exact"] <= 1e-9
    assert found["variance_exact"] > 0


@dataclass(frozen=True, kw_only=True)
class Clipped(FedAvg):
    """FedAvg whose update is at most so long: what one client adds depends on what the others send."""

    linear: ClassVar[bool] = False

    def step(self, state: Any, cohort: Cohort, sums: Sums) -> tuple[Any, Vector | None]:
        after, update = super().step(state, cohort, sums)
        return after, None if update is None else update / max(1.0, float(np.linalg.norm(update)) / 1e-3)


def clipped(**changes: Any) -> Scenario:
    return replace(from_dict({**SCENARIO, "strategy": {"name": "fedavg"}, **changes}), strategy=Clipped())


def test_a_rule_that_is_not_linear_is_probed_by_drawing_alone(tmp_path: Path) -> None:
    run = fedsim.run(clipped(rounds=6, probe={"every": 6, "draws": 50}), out=tmp_path / "run")
    own = run.summary["probe"]["this"]
    assert set(own) == {"bias2", "variance", "error"}
    assert 0 < own["variance"] < 1e-6 < run.summary["probe"]["fedavg"]["variance"]


def test_a_rule_that_is_not_linear_has_no_effective_weights(tmp_path: Path) -> None:
    run = fedsim.run(clipped(rounds=2, probe=None), out=tmp_path / "run")
    assert not run.rounds.query("metric == 'train_loss'").empty
    assert run.rounds.query("metric == 'objective_tv'").empty


def test_a_rule_that_is_not_linear_cannot_be_probed_through_a_sketch(tmp_path: Path) -> None:
    wide = clipped(model={"name": "mlp", "hidden": [160]})
    with pytest.raises(ScenarioError, match=r"probe: fedavg is not linear .* 8192 parameters"):
        fedsim.run(wide, out=tmp_path / "run")


def test_every_linear_rule_of_the_catalogue_is_in_the_family() -> None:
    shown = family({})
    # fedavg whose clients send something else, and rules that are not linear in what they send
    short = {module.name for module in iter_modules(shorthands.__path__)}
    others = {name for name, kind in catalogue().items() if name in short or not getattr(kind, "linear", False)}
    assert {"scaffold", "feddyn", "fedexp", "mimic"} < others
    assert set(catalogue()) - set(shown) == others
    assert {name: type(shown[name]) for name in shown if name in catalogue()} == {
        name: kind for name, kind in catalogue().items() if name not in others
    }
