from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from fedsim.core import ScenarioError
from fedsim.scenario import json_schema, load, schema_text
from fedsim.scenario.checks.consistency import CHECKS, data_files

SCENARIOS = Path(__file__).parents[2] / "scenarios"
SHIPPED = sorted(SCENARIOS.rglob("*.yaml"))
CHECKS_WITHOUT_FILES = tuple(check for check in CHECKS if check is not data_files)
CORPUS = Path(__file__).parent / "corpus"


def test_the_schema_is_valid_json_schema() -> None:
    Draft7Validator.check_schema(json_schema())


def test_the_schema_file_beside_the_shipped_scenarios_is_up_to_date() -> None:
    # to write it anew: ./check --write
    assert json.loads((SCENARIOS / "schema.json").read_text()) == json.loads(schema_text())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_tell_the_editor_where_the_schema_is_and_meet_it(path: Path) -> None:
    text = path.read_text()
    _, _, schema = text.splitlines()[0].partition("# yaml-language-server: $schema=")
    assert (path.parent / schema).resolve() == SCENARIOS / "schema.json"
    Draft7Validator(json_schema()).validate(yaml.safe_load(text))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_load_unless_their_data_files_are_not_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedsim.scenario.checks.consistency.CHECKS", CHECKS_WITHOUT_FILES)
    assert load(path).rounds >= 1


def test_a_file_that_extends_another_may_leave_out_what_the_other_has() -> None:
    schema = Draft7Validator(json_schema())
    assert schema.is_valid({"extends": "base.yaml", "data": {"clients": 3}})
    assert not schema.is_valid({"extends": "base.yaml", "dada": {"clients": 3}})
    assert not schema.is_valid({"extends": "base.yaml", "seed": "x"})


def test_every_key_has_a_text_and_unknown_keys_are_refused() -> None:
    schema = json_schema()
    for definition in schema["definitions"].values():
        assert definition["additionalProperties"] is False
        assert definition["description"]
    silent = [key for key, value in schema["else"]["properties"].items() if not value.get("description")]
    assert not silent


def test_tags_are_constants_and_required() -> None:
    fedstale = json_schema()["definitions"]["fedsim.strategies.fedstale.FedStale"]
    assert fedstale["properties"]["name"]["const"] == "fedstale"
    assert fedstale["required"] == ["name"]
    assert fedstale["properties"]["beta"]["default"] == 0.5


@pytest.mark.parametrize(
    "name", ["unknown_key", "unknown_strategy", "missing_rounds", "negative_rate", "quoted_number"]
)
def test_the_schema_refuses_mistakes_of_structure(name: str) -> None:
    assert not Draft7Validator(json_schema()).is_valid(yaml.safe_load((CORPUS / f"{name}.yaml").read_text()))
    with pytest.raises(ScenarioError):
        load(CORPUS / f"{name}.yaml")
