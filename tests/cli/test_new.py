from __future__ import annotations

import re
from pathlib import Path

import pytest

from fedsim.cli import main
from fedsim.cli.scenario.new import TEMPLATE
from fedsim.scenario import load, schema_text
from fedsim.scenario.scenario import Scenario
from fedsim.scenario.types import keys_of


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_new_scenario_is_valid_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "my study"]) == 0
    assert "wrote my-study.yaml" in capsys.readouterr().out
    scenario = load("my-study.yaml")
    assert (scenario.name, scenario.data.dataset, scenario.strategy.name) == ("my study", "digits", "fedavg")
    assert main(["validate", "my-study.yaml"]) == 0


@pytest.mark.parametrize(
    "name", ["a: b", "no", "1e-3", '"quoted"', "# not a comment", "naïve 日本", "false-positive", "{"]
)
def test_any_name_survives(name: str) -> None:
    assert main(["new", name, "--out", "s.yaml"]) == 0
    assert load("s.yaml").name == name


def test_the_first_line_names_a_schema_that_lies_beside_it() -> None:
    main(["new", "x"])
    first = Path("x.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=fedsim.schema.json"
    assert Path("fedsim.schema.json").read_text() == schema_text()


def test_a_schema_that_is_there_already_is_used() -> None:
    Path("schema.json").write_text(schema_text())
    main(["new", "x"])
    assert Path("x.yaml").read_text().startswith("# yaml-language-server: $schema=schema.json\n")
    assert sorted(path.name for path in Path().iterdir()) == ["schema.json", "x.yaml"]


def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.yaml").write_text("mine")
    assert main(["new", "x"]) == 2
    assert "x.yaml exists already" in capsys.readouterr().err
    assert Path("x.yaml").read_text() == "mine"
    assert not Path("fedsim.schema.json").exists()


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_a_name_that_no_scenario_may_have_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", name, "--out", "s.yaml"]) == 2
    assert "name: must be text of 1 to 200 characters" in capsys.readouterr().err
    assert not Path("s.yaml").exists()


def test_a_missing_folder_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "x", "--out", "no/x.yaml"]) == 2
    assert "there is no folder no" in capsys.readouterr().err


def test_what_is_commented_out_is_valid_too() -> None:
    """Each commented `key: value` of the template can be uncommented and still be a scenario."""
    text = TEMPLATE.replace("<name>", "x")
    optional = re.findall(r"^(?P<indent> *)# (?P<line>[a-z_]+: [^#\n]*?)(?:  +#.*)?$", text, flags=re.MULTILINE)
    assert len(optional) >= 10
    for indent, line in optional:
        if line.startswith(("kind", "nodes", "hosts", "address", "engine", "yaml")):
            continue
        without = re.sub(rf"^{indent}{line.split(':')[0]}:.*\n", "", text, flags=re.MULTILINE)
        Path("s.yaml").write_text(without.replace(f"{indent}# {line}", f"{indent}{line}"))
        load("s.yaml")


def test_the_template_speaks_of_the_main_sections() -> None:
    for key in ("name", "seed", "rounds", "data", "model", "client", "participation", "strategy", "evaluate", "engine"):
        assert key in keys_of(Scenario)
        assert re.search(rf"^{key}:", TEMPLATE, flags=re.MULTILINE)


def test_a_name_with_its_ending_is_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "s.yaml"]) == 0
    assert load("s.yaml").name == "s"
