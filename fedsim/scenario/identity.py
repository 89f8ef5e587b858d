"""What a run is: a hash of everything that can change its bits, files by what they hold and not by their names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from hashlib import sha256
from typing import Any

from fedsim.core.config.inputs import Input, content, files_of
from fedsim.core.config.plain import plain_value
from fedsim.core.errors import ScenarioError
from fedsim.scenario.scenario import Scenario
from fedsim.scenario.sources import placed

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
        "card",
        "folder",
        "origin",
    }
)
"""Sections that change no bit of a round. Of the engine, the number of nodes does; of the memory, `dtype` does, and
`of` where the learning rate changes."""


def read_inputs(scenario: Scenario, known: Sequence[Input] = ()) -> tuple[Input, ...]:
    """Return every file that a scenario's runs read, with the hash of its content; see `config.inputs.content`.

    Raises
    ------
    ScenarioError : a file cannot be read, with the place of its key.
    """
    sections = {f.name: getattr(scenario, f.name) for f in fields(scenario) if f.name not in NOT_HASHED}
    try:
        return tuple(content(file, known) for file in files_of(sections, scenario.folder))
    except ScenarioError as error:
        raise placed(scenario, error) from error


def scenario_hash(scenario: Scenario, inputs: Sequence[Input] | None = None) -> str:
    """Return the sha256 of everything that can change the bits of a round.

    `inputs` are the scenario's files as they were read; None reads them. Where there are none the hash is the one that
    earlier versions gave; `()` gives that hash too, in which files count by their names alone.
    """
    plain = plain_value(scenario, later=False)
    mapping = {key: value for key, value in plain.items() if key not in NOT_HASHED and value is not None}
    learnt = mapping.pop("task", {}).get("loss")  # metrics change no bit
    mapping |= {} if learnt is None else {"task": {"loss": learnt}}
    held = read_inputs(scenario) if inputs is None else inputs
    by_content(mapping, [one for one in held if one.key[:2] != ("task", "metrics")])
    clients = scenario.num_clients
    mapping["nodes"] = scenario.engine.nodes if clients is None else scenario.nodes_for(clients)
    fed_back = scenario.uplink is not None and scenario.uplink.feedback != "none"
    rescaled = (scenario.strategy.remembers or fed_back) and scenario.rescales
    mapping["memory"] = {"dtype": scenario.memory.dtype} | ({"of": "gradient"} if rescaled else {})
    return sha256(json.dumps(mapping, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def by_content(mapping: dict[str, Any], inputs: Sequence[Input]) -> None:
    """Put the hashes of the files in the place of their paths."""
    for one in inputs:
        place, last = holder(mapping, one.key), one.key[-1]
        if not one.role:
            place[last] = {"sha256": one.sha256}
        elif isinstance(place[last], Mapping):
            place[last][one.role] = one.sha256
        else:
            place[last] = {one.role: one.sha256}


def holder(mapping: Mapping[str, Any], key: Sequence[str]) -> Any:
    """Return the mapping in which the last name of a key stands.

    >>> holder({"a": [{"b": 1}]}, ("a", "0", "b"))
    {'b': 1}
    """
    place: Any = mapping
    for name in key[:-1]:
        place = place[int(name)] if isinstance(place, list) else place[name]
    return place
