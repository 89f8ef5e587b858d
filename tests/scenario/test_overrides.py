from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedsim.core import ScenarioError
from fedsim.scenario import expand, from_dict, load, override, scenario_hash, sources

BASE: dict[str, Any] = {
    "name": "x",
    "rounds": 3,
    "data": {"dataset": "digits", "clients": 10},
    "model": {"name": "mlp", "hidden": [8, 8]},
    "strategy": {"name": "fedstale", "beta": 0.25, "server_lr": 0.5},
}

FILE = "name: b\nrounds: 3\ndata: {dataset: digits, clients: 10}\nmodel: {name: linear}\n"


def refused(options: list[str], base: dict[str, Any] = BASE) -> list[str]:
    with pytest.raises(ScenarioError) as error:
        from_dict(base, options)
    return str(error.value).splitlines()


def test_options_replace_values_and_follow_yaml_1_2() -> None:
    scenario = from_dict(BASE, ["strategy.beta=1e-3", "name=no", "model.hidden.1=012", "client={local_steps: 2}"])
    assert scenario.strategy.beta == 0.001
    assert scenario.name == "no"
    assert scenario.model.hidden == (8, 12)
    assert scenario.client.local_steps == 2


def test_of_the_same_option_twice_the_last_one_counts() -> None:
    assert from_dict(BASE, ["seed=1", "seed=2"]).seed == 2


def test_another_choice_keeps_what_means_the_same_whatever_the_order_of_the_options() -> None:
    for options in (["strategy.name=fedau", "strategy.cutoff=7"], ["strategy.cutoff=7", "strategy.name=fedau"]):
        strategy = from_dict(BASE, options).strategy
        assert (strategy.name, strategy.cutoff, strategy.server_lr) == ("fedau", 7, 0.5)


def test_the_same_choice_keeps_the_other_options() -> None:
    assert from_dict(BASE, ["strategy={name: fedstale, beta: 1}"]).strategy.server_lr == 0.5


def test_null_gives_back_the_default_of_an_optional_value() -> None:
    base = {**BASE, "client": {"local_steps": 3}}
    scenario = from_dict(base, ["client.local_steps=null", "client.local_epochs=2"])
    assert (scenario.client.local_steps, scenario.client.local_epochs) == (None, 2)


def test_problems_name_the_option_as_it_was_given() -> None:
    assert refused(["seed=1", "strategy.bta=0.3"]) == [
        "--set strategy.bta=0.3: strategy.bta: unknown key; did you mean 'beta'?"
    ]
    assert refused(["seed"]) == ["--set seed: write it as key=value, for instance seed=2; got 'seed'"]
    assert refused(["model.hidden.5=3"]) == [
        "--set model.hidden.5=3: model.hidden.5: the list has no place 5; its places are 0 to 1"
    ]
    assert refused(["seed=[1"])[0].startswith("--set seed=[1: seed: not valid YAML")
    assert refused(["a..b=1"]) == ["--set a..b=1: 'a..b' is no key; write it as strategy.beta"]


def test_every_wrong_option_has_a_line_in_the_order_in_which_they_were_given() -> None:
    places = [line.split(": ")[0] for line in refused(["rounds=x", "client.lr=-1", "rounds=0", "data.clients=no"])]
    assert places == ["--set client.lr=-1", "--set rounds=0", "--set data.clients=no"]


def test_an_option_that_is_long_or_holds_a_password_or_several_lines_is_named_in_one_short_line() -> None:
    (line,) = refused(["name=[" + "x" * 500 + "]"])
    assert line.startswith("--set name=[xxx")
    assert "...: name: " in line
    assert refused(["seed=[1,\n2]"])[0].startswith("--set seed=[1,\\n2]: seed: ")
    assert "secret" not in refused(["metrics.stroe=postgresql://me:secret@host/runs"])[0]


def test_a_value_given_from_python_is_named_like_an_option() -> None:
    with pytest.raises(ScenarioError, match=r"^--set strategy\.beta=-1: strategy\.beta: must be"):
        from_dict(BASE, [("strategy.beta", -1)])


def test_options_reach_into_groups() -> None:
    group = {"kind": "groups", "groups": [{"share": 0.5, "process": {"kind": "full"}}, {"process": {"kind": "full"}}]}
    scenario = from_dict(
        {**BASE, "participation": group, "strategy": {"name": "fedavg"}}, ["participation.groups.0.share=0.2"]
    )
    assert scenario.participation.groups[0].share == 0.2


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_a_file_is_laid_over_its_base(tmp_path: Path) -> None:
    write(
        tmp_path,
        "base.yaml",
        FILE + "client: {lr: 0.5, batch_size: 4}\nstrategy: {name: fedstale, beta: 0.1}\n",
    )
    child = write(tmp_path, "child.yaml", "extends: base.yaml\nname: c\nclient: {lr: 0.25}\nstrategy: {name: mifa}\n")
    scenario = load(child, ["rounds=7"])
    assert (scenario.name, scenario.rounds, scenario.strategy.name) == ("c", 7, "mifa")
    assert (scenario.client.lr, scenario.client.batch_size) == (0.25, 4)
    found = sources(scenario)
    keys = ("name", "rounds", "client.lr", "client.batch_size", "client.momentum", "strategy.name", "strategy.init")
    assert [found[key].source for key in keys] == ["file", "--set", "file", "base", "default", "file", "default"]
    place = found["client.batch_size"].place
    assert place is not None
    assert (Path(place.file).name, place.line) == ("base.yaml", 5)


def test_input_paths_of_a_base_in_another_folder_start_there(tmp_path: Path) -> None:
    base = "name: b\nrounds: 3\ndata: {dataset: npz, path: a.npz, clients: 3}\nmodel: {name: linear}\n"
    write(tmp_path / "shared", "base.yaml", base)
    child = write(tmp_path / "own", "child.yaml", "extends: ../shared/base.yaml\n")
    with pytest.raises(ScenarioError, match=r"shared/a\.npz is not there"):
        load(child)


def test_a_mapping_may_extend_a_file(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", FILE)
    assert from_dict({"extends": "base.yaml", "rounds": 4}, folder=str(tmp_path)).rounds == 4


def test_an_option_reaches_into_the_value_of_an_earlier_one() -> None:
    client = from_dict(BASE, ["client={batch_size: 3, lr: 1}", "client.lr=0.5", "client.momentum=0.25"]).client
    assert (client.batch_size, client.lr, client.momentum) == (3, 0.5, 0.25)


def test_a_changed_scenario_is_overridden_as_it_is_now() -> None:
    changed = replace(from_dict(BASE), seed=9)
    assert (override(changed, ["rounds=5"]).seed, override(changed, ["rounds=5"]).rounds) == (9, 5)


def test_defaults_follow_an_override_of_a_loaded_scenario() -> None:
    loaded = from_dict({**BASE, "data": {"dataset": "digits", "clients": 2}})
    assert loaded.engine.nodes == 2
    assert override(loaded, ["data.clients=50"]).engine.nodes == 4


def test_sweep_values_may_choose_another_strategy_and_keep_defaults_fresh() -> None:
    loaded = from_dict(
        {**BASE, "sweep": {"strategy": [{"name": "fedavg"}, {"name": "fedstale", "beta": 1}], "data.clients": [2, 9]}}
    )
    runs = expand(loaded)
    assert [(run.strategy.name, run.engine.nodes) for run in runs] == [
        ("fedavg", 2),
        ("fedavg", 4),
        ("fedstale", 2),
        ("fedstale", 4),
    ]
    assert runs[2].strategy.server_lr == 0.5


def test_a_wrong_sweep_value_is_reported_once_at_its_place(tmp_path: Path) -> None:
    text = FILE + "sweep:\n  client.lr: [0.1, -1]\n  seed: [1, 2, 3]\n"
    with pytest.raises(ScenarioError) as error:
        expand(write(tmp_path, "s.yaml", text))
    assert [(p.line, p.column, p.key) for p in error.value.problems] == [(6, 20, "client.lr")]


def test_a_sweep_of_too_many_runs_is_refused() -> None:
    with pytest.raises(ScenarioError, match="makes 1,000,000 runs"):
        expand(from_dict({**BASE, "sweep": {"seed": list(range(1000)), "rounds": list(range(1, 1001))}}))


def test_another_engine_keeps_the_nodes_that_decide_the_bits() -> None:
    base = {**BASE, "engine": {"kind": "serial", "nodes": 3}}
    ray = from_dict(base, ["engine.kind=ray", "engine.hosts=2"])
    assert (ray.engine.nodes, ray.engine.hosts) == (3, 2)
    assert scenario_hash(ray) == scenario_hash(from_dict(base))


def test_another_choice_drops_options_of_another_meaning() -> None:
    base = {**BASE, "strategy": {"name": "fedavg", "normalise": "population", "weights": "examples", "server_lr": 0.5}}
    strategy = from_dict(base, ["strategy.name=fedvarp", "strategy.weights=uniform"]).strategy
    assert (strategy.normalise, strategy.server_lr) == ("participants", 0.5)
