"""A scenario as plain values, as YAML text, and as a hash of what can change bits."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Any

import yaml

from fedsim.scenario.scalars import resolve
from fedsim.scenario.scenario import Scenario

NOT_HASHED = frozenset(
    {
        "name",
        "rounds",
        "evaluate",
        "engine",
        "metrics",
        "checkpoint",
        "on_divergence",
        "stop",
        "probe",
        "compare",
        "sweep",
        "folder",
    }
)
"""Sections that change no bit of a round. Of the engine, the number of nodes does; of the memory, `dtype` does, and
`of` where the learning rate changes."""


def to_mapping(scenario: Scenario) -> dict[str, Any]:
    """Return the scenario as dicts, lists and scalars, defaults included; `from_dict` gives it back."""
    mapping = plain_value(scenario)
    assert isinstance(mapping, dict)
    return mapping


def plain_value(value: Any) -> Any:
    """Return a config as dicts, lists and scalars."""
    if is_dataclass(value) and not isinstance(value, type):
        kept = (f.name for f in fields(value) if f.init and not f.metadata.get("internal"))
        return {name: plain_value(getattr(value, name)) for name in kept}
    if isinstance(value, Mapping):
        return {key: plain_value(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain_value(inner) for inner in value]
    return value


class _Dumper(yaml.SafeDumper):
    """Writes what YAML 1.2 and 1.1 readers understand alike."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = repr(value)
    # 1e-05 is text in YAML 1.1
    return dumper.represent_scalar(
        "tag:yaml.org,2002:float", text.replace("e", ".0e") if re.match(r"-?\d+e", text) else text
    )


def _str(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # PyYAML quotes what YAML 1.1 would not take for text, but 1e-3 and 0o17 are numbers in 1.2 only
    style = None if isinstance(resolve(value), str) else "'"
    if not value.isprintable():  # only double quotes keep line breaks of all kinds
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(float, _float)
_Dumper.add_representer(str, _str)


def dump(scenario: Scenario) -> str:
    """Return YAML text that loads back to an equal scenario, from any folder."""
    mapping = {key: value for key, value in to_mapping(scenario).items() if value is not None}
    return yaml.dump(mapping, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def scenario_hash(scenario: Scenario) -> str:
    """Return the sha256 of everything that can change the bits of a round."""
    mapping = {key: value for key, value in to_mapping(scenario).items() if key not in NOT_HASHED and value is not None}
    clients = scenario.num_clients
    mapping["nodes"] = scenario.engine.nodes if clients is None else scenario.nodes_for(clients)
    rescaled = scenario.strategy.remembers and scenario.rescales
    mapping["memory"] = {"dtype": scenario.memory.dtype} | ({"of": "gradient"} if rescaled else {})
    return sha256(json.dumps(mapping, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def slug(name: str) -> str:
    """Return a name as a folder can be called.

    >>> slug("FedStale, β = 0.5 / digits!")
    'fedstale-0.5-digits'
    """
    ascii_text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9._]+", "-", ascii_text).strip("-._")
    return words[:60].rstrip("-._") or "scenario"
