from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import fedsim
from fedsim.cli import main
from fedsim.core import ScenarioError
from fedsim.core.foreign.reference import find
from fedsim.metrics.summary import read_summary
from fedsim.scenario import from_dict, load, scenario_hash, to_mapping


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
