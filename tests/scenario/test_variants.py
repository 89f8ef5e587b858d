"""Variants under `compare:`: a name and any keys of the scenario, read like the scenario itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedsim.core import ScenarioError
from fedsim.scenario import from_dict, load, override, to_mapping
from fedsim.study.compare import compare
from fedsim.study.strategies import lineup, read_with_strategies, with_variants

WORLD: dict[str, Any] = {
    "name": "noisy",
    "rounds": 3,
    "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]], "noise": 1.0},
    "model": {"name": "point", "init": [4.0]},
    "client": {"local_steps": 2, "lr": 0.5},
    "strategy": {"name": "fedstale", "beta": 0.3},
    "compare": [
        {"name": "fedavg"},
        {"name": "slow", "client": {"lr": 0.05}},
        {"name": "mifa"},
        {
            "name": "all, x10",
            "strategy": {"name": "fedstale"},
            "participation": {"kind": "bernoulli", "probabilities": 0.5},
        },
    ],
}


def test_a_variant_is_the_scenario_with_some_keys_changed() -> None:
    lines = lineup(from_dict(WORLD))
    assert list(lines) == ["fedavg", "slow", "mifa", "all, x10"]
    slow, fast = lines["slow"].scenario, lines["all, x10"].scenario
    assert (slow.client.lr, slow.client.local_steps, slow.strategy.beta) == (0.05, 2, 0.3)
    assert (fast.client.lr, fast.strategy.beta, fast.name) == (0.5, 0.5, "noisy: all, x10")
    assert slow.compare is None


def test_overrides_reach_variants_and_a_written_scenario_is_without_them() -> None:
    scenario = override(from_dict(WORLD), ["client.local_steps=7"])
    assert lineup(scenario)["slow"].scenario.client.local_steps == 7
    assert [one["name"] for one in to_mapping(scenario)["compare"]] == ["fedavg", "mifa"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"name": "x", "client": {"lrr": 1}}, "compare.4.client.lrr: unknown key; did you mean 'lr'?"),
        ({"client": {"lr": 1}}, "compare.4.name: is missing; a variant is called by its name"),
        ({"name": "slow", "client": {"lr": 1}}, "'slow' is there twice"),
        ({"name": "x", "clients": {"lr": 1}, "rounds": 4}, "compare.4.clients: is no key of a scenario"),
        ({"name": "x", "seed": 4}, "compare.4.seed: cannot be changed by a variant: the seeds of a comparison"),
    ],
)
def test_a_wrong_variant_is_told_by_its_key(line: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        from_dict(WORLD | {"compare": [*WORLD["compare"], line]})
    assert told in str(refused.value)


def test_variants_of_the_command_line_stand_behind_the_files_lines(tmp_path: Path) -> None:
    given = ["x2:client.lr=0.2,client.local_steps=1", "two, three:strategy={name: mifa}"]
    lines = lineup(read_with_strategies(WORLD, with_variants(WORLD, None, given, []), []))
    assert list(lines) == ["fedavg", "slow", "mifa", "all, x10", "x2", "two, three"]
    own = {key: value for key, value in WORLD.items() if key != "compare"}
    assert list(lineup(read_with_strategies(own, with_variants(own, None, given, []), [])))[1:] == ["x2", "two, three"]
    assert list(lineup(read_with_strategies(own, with_variants(own, "fedavg,mifa", given[:1], []), []))) == [
        "fedavg",
        "mifa",
        "x2",
    ]
    for wrong in ("x2", "x2:client.lr", ":client.lr=1"):
        with pytest.raises(ScenarioError, match="--variant"):
            with_variants(own, None, [wrong], [])


@pytest.mark.slow
def test_a_comparison_runs_variants_and_marks_what_they_do_not_share(tmp_path: Path) -> None:
    found = compare(from_dict(WORLD), seeds=2, out=tmp_path / "all", parallel=1)
    assert found.exit_code == 0
    assert [entry.label for entry in found.entries[:4]] == ["fedavg", "slow", "mifa", "all, x10"]
    assert found.marks == {"all, x10": "other absences"}
    assert found.shown("all, x10") == "all, x10 [other absences]"
    again = compare(from_dict(WORLD), seeds=2, out=tmp_path / "all", parallel=1)
    assert all(entry.outcome.recognised for entry in again.entries)


def test_a_variant_keeps_the_place_of_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    text = "name: x\nrounds: 2\ndata: {dataset: digits, clients: 9}\nmodel: {name: linear}\ncompare:\n"
    file.write_text(f"{text}- name: y\n  client: {{lr: -1}}\n")
    with pytest.raises(ScenarioError, match=r"s.yaml:7:16: compare.0.client.lr: must be"):
        load(file)
