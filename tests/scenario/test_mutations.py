"""Whatever a file holds, it is a valid scenario or a ScenarioError with places: never another exception."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedsim.cli import main
from fedsim.scenario import dump, from_dict, json_schema, load

pytestmark = pytest.mark.slow

SCHEMA = json_schema()
SECTIONS: dict[str, Any] = {"extends": {"type": "string"}, **SCHEMA["else"]["properties"]}
BASES: list[dict[str, Any]] = [
    {
        "name": "digits",
        "seed": 1,
        "rounds": 200,
        "data": {"dataset": "digits", "clients": 100, "partition": {"kind": "dirichlet", "alpha": 0.1}},
        "model": {"name": "mlp", "hidden": [64]},
        "client": {"local_steps": 5, "batch_size": 32, "lr": 0.05, "lane": "auto"},
        "participation": {"kind": "bernoulli", "probabilities": {"law": "label_dirichlet", "mean": 0.1}},
        "strategy": {"name": "fedstale", "beta": 0.5, "server_optimizer": {"kind": "adam"}},
        "engine": {"kind": "ray", "nodes": 4, "hosts": 2},
        "checkpoint": {"every": 20},
        "sweep": {"strategy.beta": [0, 1], "seed": [1, 2]},
    },
    {
        "name": "quadratic",
        "rounds": 3,
        "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]]},
        "model": {"name": "point", "init": [4.0]},
        "participation": {"kind": "schedule", "cohorts": [[0, 1], [2], []]},
        "strategy": {"name": "fedvarp", "normalise": "inverse_probability", "probabilities": [0.5, 0.5, 1]},
        "compare": [{"name": "fedavg"}, {"name": "mifa"}],
        "stop": {"metric": "test_loss", "patience": 3},
    },
    {
        "name": "groups",
        "rounds": 9,
        "data": {"dataset": "synthetic", "clients": 8},
        "model": {"name": "linear"},
        "participation": {
            "kind": "groups",
            "groups": [
                {"share": 0.5, "process": {"kind": "markov", "probabilities": 0.2}},
                {"process": {"kind": "all_of", "processes": [{"kind": "full"}, {"kind": "uniform", "size": 2}]}},
            ],
        },
        "devices": {"deadline_s": 3.0},
        "faults": {"crash": 0.1},
        "on_client_error": "drop",
    },
    {
        "name": "gossip",
        "rounds": 4,
        "data": {"dataset": "quadratic", "centers": [[0.0], [1.0], [2.0]]},
        "model": {"name": "point", "init": [[1.0], [2.0], [3.0]]},
        "strategy": {"name": "gossip", "topology": {"kind": "ring"}},
    },
]
SETTINGS = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)

PLACE = re.compile(r"(.+:[1-9][0-9]*:[1-9][0-9]*|--set .+): ")
SIGNS = ":[]{}\t\n'\"&*!|>%@`-#,?<~ \0\x07\ufeff\u20281aé"
OPTIONS = [
    *("seed=2", "strategy.beta=x", "client.lr.x=1", "data.partition=3", "a.b.c=[", "model.hidden.0=32"),
    *("model.hidden.²=1", "model.hidden.٠=1", "strategy.name=fedau", "sweep.seed=[3]", "sweep=null"),
    *("=", ".=1", "client={lr: 1}"),
]

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.sampled_from([10**30, -(10**30), 1e308, 1e-320, float("inf"), float("nan"), 0.0, -0.5, 0.5]),
    st.sampled_from(
        ["", " ", "auto", "null", "1e-3", "~", "ray://x", "../x", "\0", "\u202e", "a" * 300, "local", "x:99999"]
    ),
    st.text(max_size=8),
    st.lists(st.integers(-1, 3), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(0, 3), max_size=2),
)


def instance(schema: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that a JSON schema allows, more or less: what it does not say is left to the loader."""
    if "$ref" in schema:
        return instance(SCHEMA["definitions"][schema["$ref"].removeprefix("#/definitions/")], depth + 1)
    for choice in ("oneOf", "anyOf", "allOf"):
        if choice in schema and "properties" not in schema:
            return st.sampled_from(schema[choice]).flatmap(lambda one: instance(one, depth))
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object":
            return mapping(schema, depth)
        case "array":
            return st.lists(
                instance(schema.get("items", {}), depth + 1), min_size=schema.get("minItems", 0), max_size=3
            )
        case "integer":
            low = schema.get("minimum", 0)
            return st.integers(low, min(schema.get("maximum", low + 30), low + 30))
        case "number":
            return st.floats(schema.get("minimum", 0.0), schema.get("maximum", 3.0))
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case _:
            return st.text(max_size=5) if schema.get("type") == "string" else odd


def mapping(schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    properties = schema.get("properties", {})
    needed = {key: instance(properties[key], depth + 1) for key in schema.get("required", ())}
    optional = {key: instance(value, depth + 1) for key, value in properties.items() if key not in needed and depth < 5}
    return st.fixed_dictionaries(needed, optional=dict(list(optional.items())[:6]))


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A base scenario with a few places changed: replaced, removed, renamed, or filled in as the schema allows."""
    tree = deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 4))):
        place: Any = tree
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and draw(st.booleans()):
                place = place[key]
                continue
            action = draw(st.sampled_from(["replace", "remove", "rename", "section"]))
            if action == "replace":
                place[key] = draw(odd)
            elif action == "remove":
                del place[key]
            elif action == "rename" and isinstance(place, dict):
                place[draw(st.text(max_size=6) | st.just(f"{key}s"))] = place.pop(key)
            elif action == "section":
                section = draw(st.sampled_from(sorted(SECTIONS)))
                tree[section] = draw(instance(SECTIONS[section]))
            break
    return tree


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> int:
    """Validate by the command line, in this process: 0, or 2 and nothing but one line with a place for each problem."""
    code = main(["validate", *arguments])
    out, err = capsys.readouterr()
    if code == 2:
        assert all(PLACE.match(line) and line.isprintable() for line in err.splitlines())
    assert (code, bool(out), bool(err)) in [(0, True, False), (2, False, True)]
    return code


@settings(SETTINGS, max_examples=300)
@given(tree=mutated())
def test_mutated_scenarios_are_valid_or_refused(
    tree: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    if outcome([str(path)], capsys) == 0:
        scenario = load(path)
        assert from_dict(yaml.safe_load(dump(scenario))) == scenario


@settings(SETTINGS, max_examples=150)
@given(data=st.data())
def test_damaged_text_is_valid_or_refused(
    data: st.DataObject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    style = data.draw(st.sampled_from([None, False]))
    text = yaml.safe_dump(data.draw(st.sampled_from(BASES)), default_flow_style=style)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 0, 1, 5, 60]))
        text = text[:at] + data.draw(st.text(alphabet=SIGNS, max_size=3)) + text[at + length :]
    path = tmp_path / "s.yaml"
    path.write_bytes(text.encode())
    outcome([str(path)], capsys)


@settings(SETTINGS, max_examples=100)
@given(data=st.binary(max_size=60))
def test_binary_garbage_is_refused(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(data)
    assert outcome([str(path)], capsys) == 2


@settings(SETTINGS, max_examples=100)
@given(options=st.lists(st.text(max_size=8) | st.sampled_from(OPTIONS), max_size=4))
def test_odd_options_are_applied_or_refused(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(BASES[0]))
    outcome([str(path), *(f"--set={option}" for option in options)], capsys)
