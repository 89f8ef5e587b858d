"""From a file, its base, `--set` options and sweep values to one validated scenario, or to every problem at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from fedsim.core import Problem, ScenarioError
from fedsim.scenario import document
from fedsim.scenario.check import INVALID, Report, read_keys
from fedsim.scenario.crosschecks import cross_problems
from fedsim.scenario.merge import overlay, spread
from fedsim.scenario.nodes import Broken, Entry, Items, Keys, Node, Place, Scalar, Source, nearest, plain
from fedsim.scenario.scenario import Origin, Scenario
from fedsim.scenario.sections import Ray
from fedsim.scenario.shape import homes, keys_of
from fedsim.scenario.words import did_you_mean, printable, show

MAX_RUNS = 10_000
MAX_KEY = 200
_ANYWHERE = "<dict>"
_INPUT_SECTIONS = ("data", "participation", "devices")
_INPUT_KEYS = ("path", "file")


def load(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Scenario:
    """Return the scenario in a YAML file, with `a.b=c` overrides applied.

    Raises
    ------
    ScenarioError : with every problem of the file, its base and the overrides.
    """
    return _finish(_from_file(path, overrides))


def from_dict(mapping: Mapping[str, Any], overrides: Sequence[str] = (), *, folder: str | None = None) -> Scenario:
    """Return the scenario in a plain mapping (numpy numbers, tuples and paths are understood); see `load`.

    Relative input paths start at `folder`, the working folder by default.
    """
    return _finish(_from_mapping(mapping, overrides, folder))


def expand(
    source: str | os.PathLike[str] | Mapping[str, Any] | Scenario, overrides: Sequence[str] = ()
) -> list[Scenario]:
    """Return one scenario for each combination of the `sweep:` values, the last key varying fastest.

    A scenario without a sweep gives a list of one. Every run is validated; they carry no sweep themselves.
    """
    if isinstance(source, Scenario):
        raw = _from_scenario(source, overrides)
    elif isinstance(source, Mapping):
        raw = _from_mapping(source, overrides, None)
    else:
        raw = _from_file(source, overrides)
    whole = _finish(raw)
    assert raw.tree is not None
    sweep = raw.tree.entries.get("sweep")
    if whole.sweep is None or sweep is None or not isinstance(sweep.node, Keys):
        return [whole]
    count = int(np.prod([len(values) for values in whole.sweep.values()], dtype=object))
    if count > MAX_RUNS:
        raise ScenarioError([_problem(sweep.key, "sweep", f"makes {count:,} runs; at most {MAX_RUNS:,} are allowed")])
    single = replace(raw, tree=Keys({k: e for k, e in raw.tree.entries.items() if k != "sweep"}, raw.tree.place))
    axes = {key: entry.node.items for key, entry in sweep.node.entries.items() if isinstance(entry.node, Items)}
    runs: list[Scenario] = []
    problems: dict[Problem, None] = {}
    for values in product(*axes.values()):
        try:
            runs.append(_finish(_over(single, [(key, value) for key, value in zip(axes, values, strict=True)])))
        except ScenarioError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise ScenarioError(list(problems))
    return runs


@dataclass(frozen=True)
class _Raw:
    """A tree that is not yet validated. `complete` False: a syntax error hides what may follow."""

    file: str
    folder: str
    tree: Keys | None
    problems: tuple[Problem, ...] = ()
    complete: bool = True


def _problem(place: Place, key: str, message: str) -> Problem:
    return Problem(place.file, place.line, place.column, key, message)


def _from_file(path: str | os.PathLike[str], overrides: Sequence[str]) -> _Raw:
    file = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(file))
    found = _read_file(file, "file")
    raw = _rooted(found, file, folder)
    return _with_overrides(_with_base(raw), overrides)


def _from_mapping(mapping: Mapping[str, Any], overrides: Sequence[str], folder: str | None) -> _Raw:
    report = Report()
    tree = _node(mapping, (), report)
    place = os.path.abspath(folder if folder is not None else os.getcwd())
    raw = _Raw(_ANYWHERE, place, tree if isinstance(tree, Keys) else None, tuple(report.problems))
    return _with_overrides(_with_base(raw), overrides)


def _from_scenario(scenario: Scenario, overrides: Sequence[str]) -> _Raw:
    if scenario.origin is None:
        from fedsim.scenario.text import to_mapping

        return _from_mapping(to_mapping(scenario), overrides, scenario.folder)
    raw = _Raw(scenario.origin.file, scenario.folder, scenario.origin.tree)
    return _with_overrides(raw, overrides)


def _read_file(file: str, source: Source) -> document.Document:
    try:
        size = os.stat(file).st_size
        data = b"" if size > document.MAX_BYTES else Path(file).read_bytes()
    except (OSError, ValueError) as error:
        return document.Document(None, (Problem(file, 1, 1, "", _unreadable(file, error)),), complete=False)
    if size > document.MAX_BYTES:
        message = f"the file has {size:,} bytes; a scenario may have up to {document.MAX_BYTES:,}"
        return document.Document(None, (Problem(file, 1, 1, "", message),), complete=False)
    return document.read(data, file, source)


def _unreadable(file: str, error: Exception) -> str:
    if isinstance(error, IsADirectoryError):
        inside = sorted(Path(file).glob("*.yaml"))[:3]
        hint = f"; did you mean {inside[0]}?" if inside else ""
        return f"this is a folder, not a scenario file{hint}"
    if isinstance(error, FileNotFoundError):
        folder = Path(file).parent
        names = [p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml")] if folder.is_dir() else []
        close = get_close_matches(Path(file).name, names, n=1, cutoff=0.6)
        if close:
            return f"there is no such file; did you mean {folder / close[0]}?"
        return "there is no such file" if folder.is_dir() else f"there is no such file (no folder {folder})"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def _rooted(found: document.Document, file: str, folder: str) -> _Raw:
    problems = list(found.problems)
    root = found.root
    if root is None or (isinstance(root, Scalar) and root.value is None):
        if not problems:
            text = "the file is empty; `fedsim new NAME` writes a scenario to start from"
            problems.append(Problem(file, 1, 1, "", text))
        return _Raw(file, folder, None, tuple(problems), found.complete)
    if not isinstance(root, Keys):
        text = f"a scenario is a mapping (`name: ...`, `rounds: ...`), got {show(plain(root))}"
        return _Raw(file, folder, None, (*problems, _problem(root.place, "", text)), found.complete)
    return _Raw(file, folder, root, tuple(problems), found.complete)


def _with_base(raw: _Raw) -> _Raw:
    """Lay the scenario over the base that `extends:` names."""
    if raw.tree is None or "extends" not in raw.tree.entries:
        return raw
    entry = raw.tree.entries["extends"]
    tree = Keys({key: e for key, e in raw.tree.entries.items() if key != "extends"}, raw.tree.place)

    def refuse(message: str) -> _Raw:
        return replace(
            raw, tree=tree, problems=(*raw.problems, _problem(entry.node.place, "extends", message)), complete=False
        )

    name = plain(entry.node)
    if not isinstance(name, str) or not name:
        return refuse(f"must be the name of a scenario file, got {show(name)}")
    file = os.path.normpath(os.path.join(os.path.dirname(raw.file) if raw.file != _ANYWHERE else raw.folder, name))
    if os.path.realpath(file) == os.path.realpath(raw.file):
        return refuse("a scenario cannot extend itself")
    if not os.path.isfile(file):
        return refuse(
            f"{file}: {_unreadable(file, IsADirectoryError() if os.path.isdir(file) else FileNotFoundError())}"
        )
    folder = os.path.dirname(os.path.abspath(file))
    base = _rooted(_read_file(file, "base"), file, folder)
    if base.tree is None:
        return replace(raw, tree=tree, problems=(*raw.problems, *base.problems), complete=False)
    if "extends" in base.tree.entries:
        return refuse(f"{file} extends another file itself; only one level is allowed")
    below = base.tree if folder == raw.folder else _anchored(base.tree, folder)
    report = Report([*raw.problems, *base.problems])
    merged = overlay(below, tree, Scenario, report)
    assert isinstance(merged, Keys)
    return _Raw(raw.file, raw.folder, merged, tuple(report.problems), raw.complete and base.complete)


def _anchored(tree: Keys, folder: str) -> Keys:
    """Return a base's tree with its relative input paths made absolute: they start at the base's own folder."""

    def walk(node: Node, name: str) -> Node:
        if isinstance(node, Keys):
            return Keys({k: Entry(e.key, walk(e.node, k)) for k, e in node.entries.items()}, node.place)
        if isinstance(node, Items):
            return Items(tuple(walk(item, "") for item in node.items), node.place)
        if name in _INPUT_KEYS and isinstance(node.value, str):
            return Scalar(os.path.join(folder, os.path.expanduser(node.value)), node.place)
        return node

    entries = {k: Entry(e.key, walk(e.node, "")) if k in _INPUT_SECTIONS else e for k, e in tree.entries.items()}
    return Keys(entries, tree.place)


def _with_overrides(raw: _Raw, overrides: Sequence[str]) -> _Raw:
    """Apply `--set a.b=c` options; the value is read as YAML. Problems name the option by its number."""
    values: list[tuple[str, Node]] = []
    problems = list(raw.problems)
    for number, option in enumerate(overrides, start=1):
        dotted, equals, text = option.partition("=")
        place = Place("--set", number, 1, "--set")
        if not equals or not dotted.strip():
            problems.append(_problem(place, "", f"write it as key=value, for instance seed=2; got {show(option)}"))
            continue
        found = document.read(text.encode("utf-8", "replace"), "--set", "--set")
        if found.problems:
            problems.extend(_problem(place, dotted.strip(), p.message) for p in found.problems)
            continue
        values.append((dotted.strip(), _placed(found.root or Scalar(None, place), place)))
    raw = replace(raw, problems=tuple(problems))
    return _over(raw, values) if values else raw


def _placed(node: Node, place: Place) -> Node:
    if isinstance(node, Keys):
        return Keys({k: Entry(place, _placed(e.node, place)) for k, e in node.entries.items()}, place)
    if isinstance(node, Items):
        return Items(tuple(_placed(item, place) for item in node.items), place)
    return Scalar(node.value, place)


def _over(raw: _Raw, values: Sequence[tuple[str, Node]]) -> _Raw:
    if raw.tree is None:
        return raw
    report = Report(list(raw.problems))
    over = spread(values, report)
    merged = overlay(raw.tree, over, Scenario, report)
    assert isinstance(merged, Keys)
    return replace(raw, tree=merged, problems=tuple(report.problems))


def _node(value: Any, path: tuple[str, ...], report: Report) -> Node:
    """Return the tree of a plain Python value."""
    place = Place(_ANYWHERE)
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str | int | float | None):
        return Scalar(value, place)
    if len(path) > document.MAX_DEPTH:
        report.add(place, path[:3], f"values are nested more than {document.MAX_DEPTH} deep")
    elif isinstance(value, Mapping):
        entries = {}
        for key, inner in value.items():
            if isinstance(key, str):
                entries[key] = Entry(place, _node(inner, (*path, key), report))
            else:
                report.add(place, path, f"a key must be text, got {show(key)}")
        return Keys(entries, place)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return Items(tuple(_node(inner, (*path, str(k)), report) for k, inner in enumerate(value)), place)
    else:
        report.add(place, path, f"a scenario holds text, numbers, lists and mappings; got {type(value).__name__}")
    return Scalar(Broken(), place)


def _finish(raw: _Raw) -> Scenario:
    """Validate a tree: structure, each section's own problems, then what sections say about each other."""
    if raw.tree is None:
        raise ScenarioError(_in_order(raw.problems, raw.file))
    report = Report(list(raw.problems), homes(Scenario))
    known = keys_of(Scenario)
    top = raw.tree.place if raw.tree.place.file else Place(raw.file)
    values, _ = read_keys(raw.tree, known, (), top, report, complete=raw.complete)
    sound = {key: value for key, value in values.items() if value is not INVALID}
    if raw.complete:
        for name, spec in known.items():
            if name not in values and not spec.required:
                sound[name] = spec.factory() if spec.factory else spec.default
    folder = sound.get("folder", ".") if "folder" in values else raw.folder
    sound["folder"] = os.path.normpath(os.path.join(raw.folder, folder))
    for path, message in cross_problems(sound):
        report.add(nearest(raw.tree, path).place, path, message)
    for path, message in _sweep_problems(sound.get("sweep")):
        report.add(nearest(raw.tree, path).place, path, message)
    problems = _in_order(report.problems, raw.file)
    if problems:
        raise ScenarioError(problems)
    return _resolved(Scenario(**sound, origin=Origin(file=raw.file, tree=raw.tree)))


def _resolved(scenario: Scenario) -> Scenario:
    """Return the scenario with the numbers of nodes and hosts filled in, where the number of clients is known."""
    count = scenario.num_clients
    if count is None:
        return scenario
    engine = replace(scenario.engine, nodes=scenario.nodes_for(count))
    return replace(
        scenario, engine=replace(engine, hosts=scenario.hosts_for(count)) if isinstance(engine, Ray) else engine
    )


def _sweep_problems(sweep: Mapping[str, Any] | None) -> Iterator[tuple[tuple[str, ...], str]]:
    for key in sweep or {}:
        first = key.split(".")[0]
        known = [name for name in keys_of(Scenario) if name not in ("sweep", "compare", "folder")]
        if first not in known:
            yield ("sweep", key), f"{show(key)} starts with no section of a scenario{did_you_mean(first, known)}"


def _in_order(problems: Sequence[Problem], file: str) -> list[Problem]:
    """Return the problems once each, fit for a terminal: the file's own by line, then its base's, then the options'."""
    rank = {file: 0, "--set": 2}
    ordered = sorted(dict.fromkeys(problems), key=lambda p: (rank.get(p.file, 1), p.line, p.column))
    return [replace(p, key=printable(p.key[:MAX_KEY]), message=printable(p.message)) for p in ordered]
