from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import fedsim
from fedsim.core import LinearSum, Rule, ScenarioError
from fedsim.metrics.summary import read_summary

BASE = {
    "name": "objects",
    "rounds": 2,
    "client": {"local_steps": 1, "batch_size": 8, "lr": 0.1},
    "model": {"name": "linear"},
    "data": {"dataset": "digits", "clients": 4},
    "checkpoint": {"every": 2},
}


def halved(width: int) -> Any:
    """Return a rule that nobody can import: it is made inside a function."""

    @dataclass(frozen=True, kw_only=True)
    class Halved(Rule):
        by: float = 2.0

        def start(self, params: Any, population: Any) -> Any:
            return population

        def ask(self, state: Any, cohort: Any) -> Any:
            return {"update": LinearSum(state.weights[cohort.clients])}

        def step(self, state: Any, cohort: Any, sums: Any) -> Any:
            return state, sums["update"] / self.by if len(cohort) else None

    return Halved(by=width)


def test_an_object_without_source_is_marked_and_goes_on_only_when_it_is_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rule = halved(2)
    first = fedsim.run(BASE, strategy=rule, out="r")
    assert first.summary["unhashed"] == ["strategy.name: halved.<locals>.Halved"]
    with pytest.raises(ScenarioError, match="was given as a Python object that has no source; give the same object"):
        fedsim.resume("r", rounds=3)
    with pytest.raises(ScenarioError, match=r"strategy.by: was 2.0, now 3.0; give what the run was given"):
        fedsim.resume("r", rounds=3, strategy=halved(3))
    longer = fedsim.resume("r", rounds=3, strategy=rule)
    whole = fedsim.run({**BASE, "rounds": 3}, strategy=rule, out="whole")
    assert longer.summary["params_sha256"] == whole.summary["params_sha256"]


def test_numbers_of_numpy_in_a_rule_are_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = fedsim.run(BASE, strategy=halved(np.float64(2)), out="r")
    plain = fedsim.run(BASE, strategy=halved(2), out="s")
    assert given.summary["params_sha256"] == plain.summary["params_sha256"]


def test_arrays_and_a_lambda_run_and_arrays_are_hashed_by_what_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(1)
    arrays = {"x": draw.normal(size=(80, 3)).astype(np.float32), "y": np.arange(80) % 2}

    def run(out: str, **given: Any) -> Any:
        return fedsim.run({**BASE, "data": {"dataset": arrays, "clients": 4}}, out=out, **given).summary

    first = run("a", model=lambda num_classes: nn.Sequential(nn.Flatten(), nn.Linear(3, num_classes)))
    assert [line.split(":")[0] for line in first["unhashed"]] == ["model.name"]
    one, other = run("b"), run("c", data={"dataset": {**arrays, "x": arrays["x"] + 1}, "clients": 4})
    assert "unhashed" not in one
    assert one["scenario_hash"] != other["scenario_hash"]
    again = fedsim.resume("b", rounds=3, data={"dataset": arrays, "clients": 4})
    assert again.summary["rounds"] == 3
    with pytest.raises(ScenarioError, match="has no source"):
        fedsim.resume("c", rounds=3, data={"dataset": arrays, "clients": 4})


@pytest.mark.slow
def test_compare_and_sweep_take_objects_where_they_take_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = fedsim.compare(BASE, ["fedavg:server_lr=0.5", halved(2)], seeds=1, out="c")
    assert [entry.outcome.status for entry in found.entries] == ["completed"] * 2
    halves = {read_summary(entry.outcome.folder)["params_sha256"] for entry in found.entries}
    assert len(halves) == 1, "half a step of the server is half an update"
    swept = fedsim.sweep({**BASE, "sweep": {"strategy.by": [1.0, 2.0]}}, strategy=halved(2), out="s")
    assert [point.outcome.status for point in swept.points if point.outcome] == ["completed"] * 2
    assert read_summary(swept.points[1].folder)["params_sha256"] in halves
