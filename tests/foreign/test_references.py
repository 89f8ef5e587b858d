from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

import fedsim
from fedsim.cli import main
from fedsim.core import ScenarioError
from fedsim.core.foreign.reference import find
from fedsim.engine.experiment import build
from fedsim.metrics.summary import read_summary
from fedsim.scenario import from_dict, json_schema, load, scenario_hash, to_mapping


def test_a_run_of_files_beside_the_scenario_equals_the_run_of_the_same_objects(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = list(sys.path)
    assert main(["run", "s.yaml", "--out", "files", "--quiet"]) == 0
    assert sys.path == path
    monkeypatch.syspath_prepend(own)
    modules = {name: importlib.import_module(name) for name in ("data", "split", "net", "who", "rule")}
    run = fedsim.run(
        {
            "name": "own",
            "rounds": 4,
            "data": {
                "dataset": modules["data"].load,
                "noise": 0.4,
                "clients": 6,
                "partition": {"kind": modules["split"].striped, "width": 2},
            },
            "client": {"local_steps": 2, "batch_size": 8, "lr": 0.1},
            "participation": {"kind": modules["who"].InTurn, "every": 3},
            "model": {"name": modules["net"].Net, "hidden": 12},
            "evaluate": {"every": 2},
        },
        strategy=modules["rule"].Fading(fade=0.05),
        out="objects",
    )
    for name in ("data", "split", "net", "who", "rule", "helpers"):
        sys.modules.pop(name)
    before = read_summary("files")
    assert run.summary["params_sha256"] == before["params_sha256"]
    assert run.summary["scenario_hash"] == before["scenario_hash"]


def test_resume_and_verify_refuse_by_the_name_of_a_file_that_changed(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = scenario_hash(load("s.yaml"))
    assert main(["run", "s.yaml", "--out", "r", "--quiet"]) == 0
    assert main(["verify", "r"]) == 0
    helpers = own / "helpers.py"
    helpers.write_text(helpers.read_text().replace("float(", "2 * float("))
    assert scenario_hash(load("s.yaml")) != before
    capsys.readouterr()
    assert main(["resume", "r", "--rounds", "6", "--quiet"]) == 2
    assert f"strategy.name: {helpers}: sha256 was" in capsys.readouterr().err
    assert main(["verify", "r"]) == 1
    assert str(helpers) in capsys.readouterr().out


def test_a_written_scenario_loads_back_equal_and_an_option_is_checked_like_a_built_ins(own: Path) -> None:
    scenario = load("s.yaml")
    assert from_dict(to_mapping(scenario), folder=scenario.folder) == scenario
    assert load("s.yaml", ["strategy.fade=0.5"]).strategy.fade == 0.5
    changed = load("s.yaml", ["strategy.name=fedstale", "model.name=linear"])
    assert (changed.strategy.name, changed.model.name) == ("fedstale", "linear")
    with pytest.raises(ScenarioError, match=r"strategy.fad: unknown key; did you mean 'fade'\?"):
        load("s.yaml", ["strategy={name: ./rule.py:Fading, fad: 1}"])


def test_a_module_under_two_references_is_imported_once_and_files_of_one_name_do_not_collide(own: Path) -> None:
    (own / "other").mkdir()
    (own / "other" / "helpers.py").write_text("def share(population, cohort):\n    return 1.0\n")
    (own / "other" / "rule.py").write_text((own / "rule.py").read_text())
    folder = str(own)
    one, again = find("./rule.py:Fading", folder, ""), find("./other/../rule.py:share", folder, "")
    other = find("./other/rule.py:Fading", folder, "")
    assert sys.modules[one.target.__module__].share is again.target
    assert sys.modules[other.target.__module__].share(None, None) == 1.0
    assert one.target is not other.target
    assert "helpers" not in sys.modules


@pytest.mark.slow
def test_compare_takes_references_with_options(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = "fedavg,./rule.py:Fading:fade=0.2,./rule.py:Fading"
    assert main(["compare", "s.yaml", "--strategies", chosen, "--seeds", "1", "--out", "c", "--quiet"]) == 0
    assert "./rule.py:Fading:fade=0.2" in capsys.readouterr().out
    (own / "rule.py").write_text((own / "rule.py").read_text().replace("1 + self", "2 + self"))
    assert main(["compare", "s.yaml", "--strategies", chosen, "--seeds", "1", "--out", "c", "--quiet"]) == 0
    assert f"trained anew, not taken from before: strategy.name: {own / 'rule.py'}" in capsys.readouterr().err


def test_lists_and_the_schema_know_a_scenarios_references(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--with", "s.yaml"]) == 0
    shown = capsys.readouterr().out
    assert f"./rule.py:Fading    Average, with steps that fade. ({own / 'rule.py'}:10)" in shown
    assert "./who.py:InTurn" in shown
    assert main(["schema", "--with", "s.yaml"]) == 0
    schema = Draft7Validator(json.loads(capsys.readouterr().out))
    mapping = yaml.safe_load((own / "s.yaml").read_text())
    assert schema.is_valid(mapping)
    assert Draft7Validator(json_schema()).is_valid(mapping)
    mapping["strategy"]["fade"] = -1
    assert not schema.is_valid(mapping)


def test_a_package_registers_words_by_entry_points(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = own / "site-packages"
    (installed / "steps-1.0.dist-info").mkdir(parents=True)
    (installed / "steps-1.0.dist-info" / "METADATA").write_text("Name: steps\nVersion: 1.0\n")
    (installed / "steps-1.0.dist-info" / "RECORD").write_text("steps/__init__.py,,\nsteps-1.0.dist-info/METADATA,,\n")
    entries = "[fedsim.strategies]\nsteps = steps:Fading\n"
    (installed / "steps-1.0.dist-info" / "entry_points.txt").write_text(entries)
    (installed / "steps").mkdir()
    (installed / "steps" / "share.py").write_text((own / "helpers.py").read_text())
    rule = (own / "rule.py").read_text().replace("from helpers", "from steps.share")
    (installed / "steps" / "__init__.py").write_text(rule)
    monkeypatch.syspath_prepend(installed)
    one = load("s.yaml", ["strategy={name: steps, fade: 0.05}"])
    assert one.strategy.name == "steps"
    before = scenario_hash(one)
    (installed / "steps-1.0.dist-info" / "METADATA").write_text("Name: steps\nVersion: 1.1\n")
    assert scenario_hash(load("s.yaml", ["strategy={name: steps, fade: 0.05}"])) != before
    for name in ("steps", "steps.share"):
        sys.modules.pop(name)


def test_a_file_that_is_edited_between_reading_and_running_is_not_taken_for_what_runs(own: Path) -> None:
    scenario = load("s.yaml")
    (own / "net.py").write_text((own / "net.py").read_text().replace("relu", "tanh"))
    with pytest.raises(ScenarioError, match=r"model.name: .*net.py: was edited since the scenario was read"):
        build(scenario)
    assert build(load("s.yaml")).scenario.model != scenario.model


@pytest.mark.slow
def test_another_machine_needs_no_file_of_the_driver(own: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    sent = pickle.dumps((load("s.yaml").model, load("s.yaml").strategy))
    for file in own.glob("*.py"):
        file.unlink()
    script = (
        "import pickle, sys\nmodel, rule = pickle.load(sys.stdin.buffer)\n"
        "print(model.module((5,), 3).one.weight.shape[0], rule.fade, len(sys.path))"
    )
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run([sys.executable, "-c", script], input=sent, capture_output=True, cwd=elsewhere, check=True)
    assert done.stdout.decode().split()[:2] == ["12", "0.05"]


@pytest.mark.ray
def test_two_hosts_come_to_the_bits_of_one_process(own: Path) -> None:
    assert main(["run", "s.yaml", "--out", "one", "--quiet"]) == 0
    ray = ["--set", "engine.kind=ray", "--set", "engine.hosts=2"]
    assert main(["run", "s.yaml", "--out", "two", "--quiet", *ray]) == 0
    assert read_summary("one")["params_sha256"] == read_summary("two")["params_sha256"]
