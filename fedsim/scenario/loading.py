"""From a file, its base, `--set` options and sweep values to one validated scenario, or to every problem at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

from fedsim.core import Problem, ScenarioError
from fedsim.scenario.check import INVALID, Findings, read_keys
from fedsim.scenario.checks import variants
from fedsim.scenario.checks.consistency import cross_problems
from fedsim.scenario.messages import did_you_mean, printable, show
from fedsim.scenario.raw import Overrides, Raw, laid_over, problem_at, read_mapping, read_scenario, reread, starts_at
from fedsim.scenario.scenario import Origin, Scenario, Variant
from fedsim.scenario.sections import Processes, Ray
from fedsim.scenario.tree import Items, Keys, Node, Place, exactly, nearest
from fedsim.scenario.types import homes, keys_of

MAX_RUNS = 10_000
MAX_KEY = 200


def load(path: str | os.PathLike[str], overrides: Overrides = ()) -> Scenario:
    """Return the scenario in a YAML file, with overrides applied: `a.b=c` as text, or (dotted key, value).

    Raises
    ------
    ScenarioError : with every problem of the file, its base and the overrides.
    """
    return _finish(read_scenario(path, overrides))


def from_dict(mapping: Mapping[str, Any], overrides: Overrides = (), *, folder: str | None = None) -> Scenario:
    """Return the scenario in a plain mapping (numpy numbers, tuples and paths are understood); see `load`.

    Relative input paths start at `folder`, the working folder by default.
    """
    return _finish(read_mapping(mapping, overrides, folder))


def override(scenario: Scenario, overrides: Overrides) -> Scenario:
    """Return a scenario with overrides applied to what it was read from, so that defaults follow them."""
    return _finish(_reread(scenario, overrides))


def quick_form(scenario: Scenario) -> Scenario:
    """Return the quick form of a card: what `card.quick` holds, laid over what the scenario was read from.

    Raises
    ------
    ScenarioError : with every problem of the quick form, at its place in the file.
    """
    assert scenario.origin is not None, "a card is read from something"
    origin = scenario.origin
    raw, written = Raw(origin.file, origin.folder, origin.tree), exactly(origin.tree, ("card", "quick"))
    if scenario.card is None or not isinstance(written, Keys):
        return scenario if scenario.card is None else override(scenario, list(scenario.card.quick.items()))
    return _finish(laid_over(raw, [(key, entry.node) for key, entry in written.entries.items()]))


def expand(source: str | os.PathLike[str] | Mapping[str, Any] | Scenario, overrides: Overrides = ()) -> list[Scenario]:
    """Return one scenario for each combination of the `sweep:` values, the last key varying fastest.

    A scenario without a sweep gives a list of one. Every run is validated; they carry no sweep themselves.
    """
    if isinstance(source, Scenario):
        raw = _reread(source, overrides)
    elif isinstance(source, Mapping):
        raw = read_mapping(source, overrides, None)
    else:
        raw = read_scenario(source, overrides)
    whole = _finish(raw)
    sweep = None if raw.tree is None else raw.tree.entries.get("sweep")
    if raw.tree is None or whole.sweep is None or sweep is None or not isinstance(sweep.node, Keys):
        return [whole]
    count = prod(len(values) for values in whole.sweep.values())
    if count > MAX_RUNS:
        raise ScenarioError([problem_at(sweep.key, "sweep", f"makes {count:,} runs; at most {MAX_RUNS:,} are allowed")])
    single = replace(raw, tree=Keys({k: e for k, e in raw.tree.entries.items() if k != "sweep"}, raw.tree.place))
    axes = {key: entry.node.items for key, entry in sweep.node.entries.items() if isinstance(entry.node, Items)}
    runs: list[Scenario] = []
    problems: dict[Problem, None] = {}
    for values in product(*axes.values()):
        try:
            runs.append(_finish(laid_over(single, [(key, value) for key, value in zip(axes, values, strict=True)])))
        except ScenarioError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise ScenarioError(list(problems))
    return runs


def _reread(scenario: Scenario, overrides: Overrides) -> Raw:
    """Return what a scenario was read from; a scenario that was changed since, or made by hand, is written out."""
    if scenario.origin is not None and _finish(reread(scenario.origin, ())) == scenario:
        return reread(scenario.origin, overrides)
    return read_mapping({key: getattr(scenario, key) for key in keys_of(Scenario)}, overrides, scenario.folder)


def _finish(raw: Raw) -> Scenario:
    """Validate a tree: structure, each section's own problems, then what sections say about each other."""
    if raw.tree is None:
        raise ScenarioError(_in_order(raw.problems, raw.file))
    report = Findings(list(raw.problems), homes(Scenario), starts_at(raw.tree, raw.folder))
    known = keys_of(Scenario)
    top = raw.tree.place if raw.tree.place.file else Place(raw.file)
    tree, written = variants.taken_out(raw.tree, known, report)
    values, _ = read_keys(tree, known, (), top, report, complete=raw.complete)
    sound = {key: value for key, value in values.items() if value is not INVALID}
    if raw.complete:
        for name, spec in known.items():
            if name not in values and not spec.required:
                sound[name] = spec.factory() if spec.factory else spec.default
    sound["folder"] = os.path.normpath(report.folder)
    for path, message in cross_problems(sound):
        report.add(nearest(raw.tree, path).place, path, message)
    for path, message in _sweep_problems(sound.get("sweep")):
        report.add(nearest(raw.tree, path).place, path, message)
    problems = _in_order(report.problems, raw.file)
    if problems:
        raise ScenarioError(problems)
    lines = tuple(_variants(raw, tree, str(sound["name"]), written))
    origin = Origin(file=raw.file, folder=raw.folder, tree=raw.tree, variants=lines)
    return _resolved(Scenario(**sound, origin=origin))


def _variants(raw: Raw, tree: Keys, name: str, written: Sequence[variants.Written]) -> list[Variant]:
    """Return the variants under `compare:` as scenarios of their own.

    Raises ScenarioError with every problem of every variant.
    """
    found: list[Variant] = []
    problems: dict[Problem, None] = {}
    for one in written:
        base = variants.without(tree, "compare", "sweep", "card", *(("strategy",) if "strategy" in one.values else ()))
        values: list[tuple[str, Node]] = [(key, entry.node) for key, entry in one.values.items()]
        try:
            whole = _finish(laid_over(replace(raw, tree=base), [*values, ("name", variants.named(name, one))]))
        except ScenarioError as error:
            above = f"compare.{one.position}"
            problems.update(
                dict.fromkeys(replace(p, key=f"{above}.{p.key}" if p.key else above) for p in error.problems)
            )
        else:
            found.append(Variant(position=one.position, name=one.name, scenario=whole))
    if problems:
        raise ScenarioError(_in_order(list(problems), raw.file))
    return found


def _resolved(scenario: Scenario) -> Scenario:
    """Return the scenario with the numbers of nodes and hosts filled in, where the number of clients is known."""
    count = scenario.num_clients
    if count is None:
        return scenario
    engine = replace(scenario.engine, nodes=scenario.nodes_for(count))
    return replace(
        scenario,
        engine=replace(engine, hosts=scenario.hosts_for(count)) if isinstance(engine, Ray | Processes) else engine,
    )


def _sweep_problems(sweep: Mapping[str, Any] | None) -> Iterator[tuple[tuple[str, ...], str]]:
    for key in sweep or {}:
        first = key.split(".")[0]
        known = [name for name in keys_of(Scenario) if name not in ("sweep", "compare", "card", "folder")]
        if first not in known:
            yield ("sweep", key), f"{show(key)} starts with no section of a scenario{did_you_mean(first, known)}"
    for key, values in (sweep or {}).items():
        for place, value in enumerate(values):
            if any(_equal(value, before) for before in values[:place]):
                yield ("sweep", key, str(place)), f"{show(value)} is there twice; each value is run once"


def _equal(a: Any, b: Any) -> bool:
    """Return whether two values of an axis are the same: 1 and 1.0 are, 1 and true are not."""
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def _in_order(problems: Sequence[Problem], file: str) -> list[Problem]:
    """Return the problems once each, fit for a terminal: the file's own by line, then its base's, then the options'."""

    def rank(problem: Problem) -> int:
        return 2 if problem.column == 0 else 0 if problem.file == file else 1

    ordered = sorted(dict.fromkeys(problems), key=lambda p: (rank(p), p.line, p.column))
    return [replace(p, key=printable(p.key[:MAX_KEY]), message=printable(p.message)) for p in ordered]
