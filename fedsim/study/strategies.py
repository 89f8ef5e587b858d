"""Which strategies a comparison runs, and what each is called.

On the command line a strategy is `name` or `name:option=value`, several separated by commas; in a file it is a block
of `compare:`, the same as under `strategy:`. Either way a strategy stands for itself: nothing is taken over from the
scenario's own `strategy:` block.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from typing import Any

from fedsim.core import Problem, Rule, ScenarioError
from fedsim.core.config.plain import plain_value
from fedsim.scenario import Scenario, Variant, as_plain, from_dict, load, override, plain_text, to_mapping
from fedsim.scenario.tree import plain
from fedsim.strategies import catalogue

Block = str | Mapping[str, Any] | Rule
Blocks = Block | Iterable[Block]


def parse(text: str) -> list[tuple[str, dict[str, str]]]:
    """Read strategies as the command line writes them; values stay text, to be read as YAML.

    >>> parse("fedavg,fedstale:beta=0.3:server_lr=0.5,mifa:server_optimizer={kind: adam, tau: 0.1}")[1:]
    [('fedstale', {'beta': '0.3', 'server_lr': '0.5'}), ('mifa', {'server_optimizer': '{kind: adam, tau: 0.1}'})]

    A reference has a colon of its own:

    >>> parse("./rule.py:Fading:fade=0.05")
    [('./rule.py:Fading', {'fade': '0.05'})]

    An item without a name is one more option of the strategy before it:

    >>> parse("fedstale:beta=0.3,server_lr=0.5")
    [('fedstale', {'beta': '0.3', 'server_lr': '0.5'})]

    Raises ScenarioError, saying what is allowed.
    """
    found: list[tuple[str, dict[str, str]]] = []
    for item in _split(text, ","):
        name, *options = _split(item, ":")
        if options and "=" not in options[0] and "=" not in name and name not in catalogue():  # ./file.py:Name
            name, *options = f"{name}:{options[0]}", *options[1:]
        if "=" in name and found and not options:
            options, name = [name], found[-1][0]
        else:
            found.append((name, {}))
        if not name or "=" in name:
            raise ScenarioError(
                f"--strategies: {item!r} names no strategy; write name or name:option=value, for instance "
                "fedavg,fedstale:beta=0.3"
            )
        for option in options:
            key, equals, value = option.partition("=")
            if not equals or not key.strip() or not value.strip():
                raise ScenarioError(f"--strategies: {item!r}: write {name}:option=value, got {option!r}")
            found[-1][1][key.strip()] = value.strip()
    return found


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator outside of brackets; parts are stripped."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{(") - (letter in "]})")
        if letter == separator and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def as_override(strategies: Blocks) -> str:
    """Return strategies as the override `compare=[...]`, which the scenario validates like any other.

    >>> as_override("fedavg,fedstale:beta=0.3")
    'compare=[{"name": fedavg}, {"name": fedstale, "beta": 0.3}]'
    >>> as_override(["mifa", {"name": "fedstale", "beta": 0.3}])
    'compare=[{"name": mifa}, {"name": "fedstale", "beta": 0.3}]'
    """
    blocks = []
    if isinstance(strategies, str | Mapping) or not isinstance(strategies, Iterable):
        strategies = [strategies]
    for one in strategies:
        if isinstance(one, str):
            for name, options in parse(one):
                inner = "".join(f", {json.dumps(key)}: {value}" for key, value in options.items())
                word = json.dumps(name, ensure_ascii=False) if ":" in name else name
                blocks.append(f'{{"name": {word}{inner}}}')
        else:
            blocks.append(json.dumps(as_plain(one, "compare"), ensure_ascii=False))
    return f"compare=[{', '.join(blocks)}]"


def _override(strategies: Blocks) -> str | tuple[str, Any]:
    """Return strategies as an override; objects that no text can hold come as they are."""
    blocks = (
        [strategies] if isinstance(strategies, str | Mapping) or not isinstance(strategies, Iterable) else strategies
    )
    blocks = list(blocks)
    try:
        return as_override(blocks)
    except TypeError:
        found: list[Any] = []
        for one in blocks:
            found += plain_text(as_override(one).partition("=")[2]) if isinstance(one, str) else [one]
        return "compare", found


def blame_strategies(error: ScenarioError, number: int) -> ScenarioError:
    """Return an error in which problems of the override `number` name `--strategies`, where the user wrote them."""
    if not error.problems:
        return error
    return ScenarioError(
        [
            replace(p, file="--strategies", line=1, column=1) if (p.line, p.column) == (number, 0) else p
            for p in error.problems
        ]
    )


def parse_variant(text: str) -> dict[str, Any]:
    """Read `--variant NAME:key=value,...`: keys are dotted, values YAML.

    >>> parse_variant("all, x10:strategy={name: fedavg},client.lr=0.05,client.local_steps=2")
    {'name': 'all, x10', 'strategy': {'name': 'fedavg'}, 'client': {'lr': 0.05, 'local_steps': 2}}

    Raises ScenarioError, saying what is allowed.
    """
    name, colon, rest = text.partition(":")
    found: dict[str, Any] = {"name": name.strip()}
    for option in _split(rest, ",") if colon else []:
        key, equals, value = option.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ScenarioError(f"--variant: {text!r}: write NAME:key=value,..., got {option!r}")
        place = found
        *above, last = key.strip().split(".")
        for part in above:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ScenarioError(f"--variant: {text!r}: {part} has a value, and {key.strip()} is below it")
        place[last] = plain_text(value)
    if not found["name"] or len(found) == 1:
        raise ScenarioError(f"--variant: {text!r}: write NAME:key=value,..., for instance 'x10:client.lr=0.05'")
    return found


def with_variants(
    source: str | os.PathLike[str] | Mapping[str, Any] | Scenario,
    strategies: Blocks | None,
    variants: Sequence[str],
    overrides: Sequence[str | tuple[str, Any]],
) -> Blocks | None:
    """Return the lines of a comparison with `--variant`s behind the strategies, those of the file, or its own one."""
    if not variants:
        return strategies
    lines: list[Any] = []
    if strategies is None:
        whole = read_with_strategies(source, None, overrides)
        listed = whole.origin.tree.entries.get("compare") if whole.origin is not None else None
        lines += plain(listed.node) if listed is not None else [plain_value(whole.strategy)]
    else:
        if isinstance(strategies, Iterable) and not isinstance(strategies, str | Mapping):
            lines.extend(strategies)
        else:
            lines.append(strategies)
    return [*lines, *map(parse_variant, variants)]


def read_with_strategies(
    source: str | os.PathLike[str] | Mapping[str, Any] | Scenario,
    strategies: Blocks | None,
    overrides: Sequence[str | tuple[str, Any]],
) -> Scenario:
    """Return a scenario with these strategies under `compare:`; None leaves what is there.

    Raises ScenarioError with every problem of the scenario, the overrides and the strategies.
    """
    options: list[str | tuple[str, Any]] = [*overrides] if strategies is None else [*overrides, _override(strategies)]
    try:
        if isinstance(source, Scenario):
            return override(source, options) if options else source
        return from_dict(source, options) if isinstance(source, Mapping) else load(source, options)
    except ScenarioError as error:
        raise (error if strategies is None else blame_strategies(error, len(options))) from None


def label(rule: Any) -> str:
    """Return what a strategy is called: its name and the options that differ from their defaults or its preset's.

    >>> from fedsim.strategies.fedstale import FedStale
    >>> label(FedStale(beta=0.3, on_empty="skip")), label(FedStale())
    ('fedstale:beta=0.3:on_empty=skip', 'fedstale')
    """
    parts, preset = [str(rule.name)], getattr(rule, "preset_values", {})
    for field in fields(rule):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        value = getattr(rule, field.name)
        if field.name != "name" and field.init and (value != default or value != preset.get(field.name, value)):
            parts.append(f"{field.name}={_short(value)}")
    return ":".join(parts)


def _short(value: Any) -> str:
    if isinstance(value, bool | None):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple) and len(value) > 4:
        return f"[{len(value)} values]"
    kind = getattr(value, "kind", None)
    return str(kind) if isinstance(kind, str) else str(plain_value(value))


def lineup(scenario: Scenario) -> dict[str, Any]:
    """Return the lines under `compare:` by what they are called, strategies and variants; without any the scenario's
    own strategy.

    Raises ScenarioError when two are the same.
    """  # noqa: D205
    variants = {one.position: one for one in (scenario.origin.variants if scenario.origin is not None else ())}
    rules = list(scenario.compare or (() if variants else (scenario.strategy,)))
    lines = [variants.get(place) or rules.pop(0) for place in range(len(rules) + len(variants))]
    found: dict[str, Any] = {}
    for rule in lines:
        if isinstance(rule, Variant):
            if rule.name in found:
                raise ScenarioError(f"compare: two lines are called {rule.name!r}")
            found[rule.name] = rule
            continue
        name = label(rule)
        if rule in found.values():
            raise ScenarioError(f"compare: {name} is there twice; each strategy is run once for each seed")
        number = 2
        while name in found:
            name, number = f"{label(rule)} #{number}", number + 1
        found[name] = rule
    return found


def with_strategy(scenario: Scenario, rule: Any, name: str) -> Scenario:
    """Return the scenario with another strategy, checked as if it had been written so.

    Raises ScenarioError with every reason why the strategy does not fit the scenario.
    """
    mapping = {key: value for key, value in to_mapping(scenario).items() if key not in ("compare", "sweep", "card")}
    mapping["strategy"] = plain_value(rule)
    mapping["name"] = f"{scenario.name[: 198 - len(name)]}: {name}"
    try:
        return from_dict(mapping, folder=scenario.folder)
    except ScenarioError as error:
        raise ScenarioError([replace(problem, file=f"--strategies {name}") for problem in error.problems]) from None


def all_problems(errors: Sequence[tuple[str, ScenarioError]]) -> ScenarioError:
    """Join the errors of several strategies into one, each problem once."""

    def problems() -> Iterator[Problem]:
        for name, error in errors:
            yield from error.problems or [Problem(f"--strategies {name}", 1, 1, "", str(error))]

    return ScenarioError(list(dict.fromkeys(problems())))
