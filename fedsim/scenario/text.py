"""A scenario as plain values and as YAML text, and a name as a folder's."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import yaml

from fedsim.core.config.plain import plain_value
from fedsim.scenario.scenario import Scenario
from fedsim.scenario.yaml_reader import resolve


def to_mapping(scenario: Scenario) -> dict[str, Any]:
    """Return the scenario as dicts, lists and scalars, defaults included; `from_dict` gives it back."""
    mapping = plain_value(scenario)
    assert isinstance(mapping, dict)
    return mapping


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
_Dumper.add_multi_representer(str, _str)


def dump(scenario: Scenario) -> str:
    """Return YAML text that loads back to an equal scenario, from any folder."""
    mapping = {key: value for key, value in to_mapping(scenario).items() if value is not None}
    return yaml.dump(mapping, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def slug(name: str) -> str:
    """Return a name as a folder can be called.

    >>> slug("FedStale, β = 0.5 / digits!")
    'fedstale-0.5-digits'
    """
    ascii_text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9._]+", "-", ascii_text).strip("-._")
    return words[:60].rstrip("-._") or "scenario"
