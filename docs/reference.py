"""Write the pages that only repeat what the program knows: scenario, strategies, participation, metrics, the README.

python docs/reference.py
"""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections import deque
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from fedsim import participation, strategies
from fedsim.core.server import catalogue as transforms
from fedsim.metrics import FACTS, METRICS, Metric
from fedsim.participation.devices import Devices
from fedsim.participation.faults import Faults
from fedsim.scenario.schema import json_schema
from fedsim.strategies import corrections

FOLDER = Path(__file__).parent
PREFIX = "#/definitions/"
SCENARIO = """\
# The scenario file

*Written by `python docs/reference.py` from `fedsim schema`; do not edit it by hand.*

One YAML file is one simulation. Unknown keys, wrong types and impossible combinations are refused before anything
starts, all at once, with file, line and column. `fedsim new NAME` writes a commented file to start from.

- Numbers follow YAML 1.2: `1e-3` is a number, `012` is twelve, `no` is a word.
- Input paths are relative to the scenario file, output paths to the working folder; `~` is your home folder in both.
- `--set strategy.beta=0.3 --set seed=2` overrides keys on the command line.
- `extends: base.yaml` lays a file over another one, one level deep.
- Clients are numbered from 0, rounds from 1.

A key without a default must be given.
"""
STRATEGIES = """\
# Strategies

*Written by `python docs/reference.py` from the modules in `strategies/` and `fedsim/core/server/`; do not edit it by
hand.*

Once for all of them:

- `delta_i` is local minus global parameters after client i's work; an update `v` is *added*:
  `params <- params + server_lr * v`.
- `a_i` are the weights of the objective, `sum a_i = 1`: 1/N each, or by examples (`weights`).
- `S` are the clients that replied in the round; `p_i` is the probability that client i does.
- `h_i` is the memory of client i: the delta it sent last, 0 before. The memories stay with the clients' hosts; the
  server sees sums only.
- An empty `S` is an event with a defined meaning for every strategy, not an error.

Under any of these what clients do may be [corrected](#corrections), and any of these updates may be transformed before
it is added: [server optimisers](#server-optimisers).
"""
CORRECTIONS = """\
## Corrections

`correction: {name: ...}` stands under any strategy with a server model: what goes into every gradient while clients
train, what each remembers for it, and what becomes of the rule's update. [Corrections](corrections.md) shows every rule
under every one of them, and what each costs.
"""
TRANSFORMS = """\
## Server optimisers

`server_optimizer: {kind: ...}` stands under any strategy with a server model, and transforms its update v. With T the
transform, x the parameters and d = `server_weight_decay`:

    x <- x + rate (T(v) - d x),      rate = server_lr, as server_schedule changes it from round to round

so that at rate 1 every step takes the share d off the parameters, as the server of FedStale's code does with 5e-4. In a
round in which the rule moves nothing (its `on_empty`), nothing decays either, and no transform but `amplify` looks.
Effective weights and the probe tell of the update before T.
"""
PARTICIPATION = """\
# Who is there, and when

*Written by `python docs/reference.py` from the classes in `fedsim/participation/`; do not edit it by hand.*

Participation is the world's doing. The cohort of a round is a function of the seed and the round, and of nothing that
a strategy does, so all strategies of a comparison meet the same absences; the schedule's hash in `summary.json` proves
it. `fedsim participation scenario.yaml` shows who comes before anything is trained; `fedsim schedule` writes it into a
file that can be replayed. A client that was scheduled and then failed is another event, and counted apart.
"""

METRICS_PAGE = """\
# Metrics

*Written by `python docs/reference.py` from `fedsim.metrics.registry`; do not edit it by hand.*

Every number that a run reports, under this name in the store and in `Run.rounds`, and, unless the last column says
otherwise, as a column of `rounds.csv`; with the direction that is better, where one is, and which runs have it.
*Tagged* metrics are reported once for each tag, as `name.tag`, and stand in the store only. Two runs of one scenario
agree in all of them but those marked *timing*.

| metric | unit | better | meaning | runs with | |
|---|---|---|---|---|---|
"""

Node = Mapping[str, Any]


def pages() -> dict[str, str]:
    """Return every page by the name of its file."""
    rules = {name: import_module(cls.__module__) for name, cls in strategies.catalogue().items()}
    corrected = {name: import_module(cls.__module__) for name, cls in corrections.catalogue().items()}
    optimisers = {kind: import_module(cls.__module__) for kind, cls in transforms().items()}
    world = {
        "## Processes": {f"kind: {name}": cls for name, cls in participation.catalogue().items()},
        "## Laws, from which each client draws its probability": {
            f"law: {name}": cls for name, cls in participation.laws().items()
        },
        "## What else the world does": {"devices": Devices, "faults": Faults},
    }
    return {
        "scenario.md": scenario(json_schema()),
        "strategies.md": "\n".join(
            [
                STRATEGIES,
                *(_chapter(name, found) for name, found in rules.items()),
                CORRECTIONS,
                *(f"#{_chapter(f'correction: {name}', found)}" for name, found in corrected.items()),
                TRANSFORMS,
                *(f"#{_chapter(f'kind: {kind}', found)}" for kind, found in optimisers.items()),
            ]
        ),
        "participation.md": "\n".join([PARTICIPATION, *(_part(title, found) for title, found in world.items())]),
        "metrics.md": METRICS_PAGE + "".join(map(_metric, METRICS.values())),
        "../deploy/README.md": published(),
    }


def published() -> str:
    """Return the README as a package index shows it: every relative link absolute."""
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]
    home = project["urls"]["Repository"]
    raw = home.replace("https://github.com/", "https://raw.githubusercontent.com/") + "/main/"
    text = (FOLDER.parent / "README.md").read_text()
    text = re.sub(r"(!\[[^\]]*\]\()(?!https?:)", rf"\g<1>{raw}", text)
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!https?:|#)", rf"\g<1>{home}/blob/main/", text)


def scenario(schema: Node) -> str:
    """Return the page of all keys."""
    top = schema["else"]["properties"] | {"extends": schema["then"]["properties"]["extends"]}
    seen: set[str] = set()
    parts = [SCENARIO, "## Top level\n", _table(top, schema["else"]["required"], schema["definitions"])]
    for key, node in top.items():
        sections = list(_sections(key, node, schema["definitions"], seen))
        if sections:
            parts += [f"## {key}\n", f"{node.get('description', '')}\n", *sections]
    return "\n".join(parts)


def _sections(key: str, top: Node, definitions: Node, seen: set[str]) -> Iterator[str]:
    """Yield a section for everything below a top-level key, the nearest first; each definition appears once."""
    queue = deque((key, name) for name in _references(top))
    while queue:
        path, name = queue.popleft()
        if name in seen:
            continue
        seen.add(name)
        properties = dict(definitions[name]["properties"])
        tag = _tag(definitions[name])
        if tag:
            del properties[tag[0]]
            yield f"### `{path}: {{{tag[0]}: {tag[1]}}}`\n"
        elif path != key:
            yield f"### `{path}`\n"
        yield f"{definitions[name].get('description', '')}\n"
        if properties:
            yield _table(properties, definitions[name].get("required", ()), definitions)
        queue.extend((f"{path}.{inner}", other) for inner, node in properties.items() for other in _references(node))


def _table(properties: Node, required: Any, definitions: Node) -> str:
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, node in properties.items():
        default = "" if key in required else _default(node.get("default"), node, definitions)
        cells = (f"`{key}`", _kind(node, definitions), default, node.get("description", ""))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _kind(node: Node, definitions: Node) -> str:
    """Say in a few words what a value may be."""
    if "$ref" in node:
        name = node["$ref"].removeprefix(PREFIX)
        return f"`{_tag(definitions[name])[1]}`" if _tag(definitions[name]) else "section, see below"
    if node.get("title") == "reference":
        return "[code of your own](own-code.md)"
    if "const" in node:
        return f"`{_plain(node['const'])}`"
    if "enum" in node:
        return ", ".join(f"`{_plain(value)}`" for value in node["enum"])
    for union in ("anyOf", "oneOf", "allOf"):
        if union in node:
            return " or ".join(dict.fromkeys(_kind(choice, definitions) for choice in node[union]))
    kind = node.get("type", "object")
    if kind == "array":
        return f"list of {_kind(node.get('items', {}), definitions)}"
    if kind in ("number", "integer"):
        return kind + _bounds(node)
    return {"string": "text", "boolean": "true, false", "object": "mapping", "null": "null"}[kind]


def _bounds(node: Node) -> str:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {node[key]:g}" for key, sign in signs.items() if key in node and abs(node[key]) < 10**9]
    return f" {', '.join(bounds)}" if bounds else ""


def _references(node: Any) -> Iterator[str]:
    """Yield the definitions that a node refers to, in order."""
    if isinstance(node, Mapping):
        if "$ref" in node:
            yield node["$ref"].removeprefix(PREFIX)
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _tag(definition: Node) -> tuple[str, str] | None:
    """Return the key by which a section says which one it is, and what it says; None for a section of its own kind."""
    return next(((key, node["const"]) for key, node in definition["properties"].items() if "const" in node), None)


def _default(value: Any, node: Node, definitions: Node) -> str:
    """Say what holds when a key is left out: for a section its name, as its own keys' defaults stand in its table."""
    if value is None:
        return "none"
    if not isinstance(value, dict):
        return f"`{_plain(value)}`"
    tags = [tag[0] for tag in map(_tag, (definitions[name] for name in _references(node))) if tag]
    return next((f"`{value[tag]}`" for tag in tags if tag in value), "as below")


def _plain(value: Any) -> str:
    """Write a value as YAML would."""
    return value if isinstance(value, str) else json.dumps(value)


def _metric(metric: Metric) -> str:
    """Return a metric as a row of a table."""
    marks = ["tagged"] * metric.tagged + ["timing"] * (not metric.reproducible)
    marks += ["store only"] * (not metric.column and not metric.tagged)
    meaning, runs = metric.meaning.replace("|", "\\|"), ", ".join(FACTS[fact] for fact in metric.when) or "all"
    cells = (f"`{metric.name}`", metric.unit, metric.better or "", meaning, runs, ", ".join(marks))
    return f"| {' | '.join(cells)} |\n"


def _part(title: str, members: Mapping[str, type]) -> str:
    return "\n".join([f"{title}\n", *(f"#{_chapter(name, cls)}" for name, cls in members.items())])


def _chapter(name: str, source: object) -> str:
    """Return a docstring as a chapter, without its doctests; what is indented stays as it is."""
    text = (inspect.getdoc(source) or "").split("\n\n>>>")[0]
    return f"## `{name}`\n\n{text}\n"


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
