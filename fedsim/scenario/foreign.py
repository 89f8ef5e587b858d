"""What of a scenario is not ours: which references it holds, what of them has no source, which files are copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from fedsim.core.errors import ScenarioError
from fedsim.core.foreign.door import Foreign
from fedsim.core.foreign.failures import failed, place_of_error
from fedsim.core.foreign.reference import Thing
from fedsim.scenario.scenario import Scenario


def foreign(scenario: Scenario) -> dict[str, Thing]:
    """Return what the references of a scenario mean, by the dotted keys at which they stand."""
    return {key: config.thing for key, config in _within(scenario, ())}


def classes(scenario: Scenario) -> list[type]:
    """Return the config classes that the references of a scenario became, each once."""
    return list(dict.fromkeys(type(config) for _, config in _within(scenario, ())))


def _within(config: Any, key: tuple[str, ...]) -> Iterator[tuple[str, Foreign]]:
    if isinstance(config, Foreign):
        yield ".".join((*key, config.key)), config
    if is_dataclass(config) and not isinstance(config, type):
        for one in fields(config):
            if not one.metadata.get("internal"):
                yield from _within(getattr(config, one.name), (*key, one.name))
    elif isinstance(config, Mapping):
        for name, value in config.items():
            yield from _within(value, (*key, str(name)))
    elif isinstance(config, list | tuple):
        for number, value in enumerate(config):
            yield from _within(value, (*key, str(number)))


def unhashed(scenario: Scenario) -> tuple[str, ...]:
    """Return the keys at which objects stand that have no source: nobody knows whether they are the same again."""
    return tuple(f"{key}: {thing.name}" for key, thing in foreign(scenario).items() if not thing.hashed)


def objects(scenario: Scenario) -> dict[str, Any]:
    """Return the objects that nobody can find by their texts, by these."""
    return {str(thing.text): thing.target for thing in foreign(scenario).values() if thing.needed}


def code(scenario: Scenario) -> dict[str, Path]:
    """Return the Python files of a scenario's references by where their copies stand in the run's folder.

    Files of one name from two folders stand apart, under the keys that name them.
    """
    found: dict[str, Path] = {}
    for key, thing in foreign(scenario).items():
        for role, path in thing.files.items():
            if path.suffix != ".py":
                continue
            place = role.partition(":")[0]
            if found.get(place, path) != path:
                place = f"{key}/{place}"
            found[place] = path
    return found


def refuse_edited(scenario: Scenario) -> None:
    """Raise ScenarioError where a file was edited after it was imported: the code in memory is not what it holds."""
    text = "was edited since the scenario was read; read it again"
    lines = (f"{k}: {file}: {text}" for k, t in foreign(scenario).items() if t.home for file in t.home.others())
    found = "\n".join(dict.fromkeys(lines))
    if found:
        raise ScenarioError(found)


def told_of(strategy: object) -> str:
    """Return the file and line of a rule that is not ours, for a message; nothing for others."""
    return f" after {strategy.thing.text} ({strategy.thing.place})" if isinstance(strategy, Foreign) else ""


def blamed(scenario: Scenario, error: Exception) -> Exception:
    """Return what foreign code raised as an error that names the user's own line; a mistake of ours as it is."""
    place, things = place_of_error(error), foreign(scenario)
    if not things or not place:
        return error
    whose = (str(t.text) for t in things.values() if any(place.startswith(f"{file}:") for file in t.files.values()))
    found = failed(next(whose, "foreign code"), error)
    found.__cause__ = error
    return found
