"""Where every value of a scenario comes from: its file, the base it extends, an option, or the default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from fedsim.core import Problem, ScenarioError
from fedsim.scenario.scenario import Scenario
from fedsim.scenario.text import to_mapping
from fedsim.scenario.tree import Place, exactly, nearest


@dataclass(frozen=True)
class Sourced:
    """A value, what it comes from (file, base, --set, sweep, default), and the place when it is written down."""

    value: Any
    source: str
    place: Place | None = None


def sources(scenario: Scenario) -> dict[str, Sourced]:
    """Return every value of the resolved scenario by its dotted key, with its source.

    >>> from fedsim.scenario import from_dict
    >>> found = sources(from_dict({"name": "x", "rounds": 1, "data": {"dataset": "quadratic", "centers": [[0.0]]},
    ...                            "model": {"name": "point", "init": [1.0]}}, ["rounds=2"]))
    >>> [(found[key].value, found[key].source) for key in ("name", "rounds", "client.lr")]
    [('x', 'file'), (2, '--set'), (0.1, 'default')]
    """
    found = {}
    for path, value in _leaves(to_mapping(scenario)):
        node = exactly(scenario.origin.tree, path) if scenario.origin is not None else None
        found[".".join(path)] = Sourced(value, node.place.source, node.place) if node else Sourced(value, "default")
    return found


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield what is not a mapping; a list counts as one value unless it holds mappings."""
    if isinstance(value, Mapping) and (value or not path):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            yield from _leaves(item, (*path, str(number)))
    else:
        yield path, value


def placed(scenario: Scenario, error: ScenarioError) -> ScenarioError:
    """Return the error with FILE:LINE:COL before each of its lines that begins with a key of the scenario."""
    if error.problems or scenario.origin is None:
        return error
    sections = {f.name for f in fields(Scenario)}
    origin = scenario.origin
    problems = []
    for line in str(error).splitlines():
        key, colon, message = line.partition(": ")
        known = bool(colon) and key.split(".")[0] in sections and " " not in key
        place = nearest(origin.tree, key.split(".")).place if known else origin.tree.place
        problems.append(
            Problem(
                place.file or origin.file, place.line, place.column, key if known else "", message if known else line
            )
        )
    return ScenarioError(problems)
