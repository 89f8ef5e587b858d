"""A scenario as it was written: the file, laid over its base, with options and sweep values laid over both.

Nothing is validated here; what is wrong with the text, the base or an option is carried along.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fedsim.core import Problem, ScenarioError
from fedsim.core.config.inputs import Reads, place_of, reads
from fedsim.core.foreign.door import Door, Foreign
from fedsim.core.foreign.reference import Object, ObjectText, is_reference
from fedsim.scenario import yaml_reader as document
from fedsim.scenario.check import Findings
from fedsim.scenario.merge import overlay, spread
from fedsim.scenario.messages import printable, show
from fedsim.scenario.scenario import Origin, Scenario
from fedsim.scenario.tree import (
    Broken,
    Entry,
    Items,
    Keys,
    Node,
    Place,
    Scalar,
    Source,
    exactly,
    is_broken,
    plain,
    plain_python,
)
from fedsim.scenario.types import Shape, configs, keys_of, shape

ANYWHERE = "<dict>"
"""Stands for the file where a scenario is no file."""

Overrides = Sequence[str | tuple[str, Any]]
"""What is laid over a scenario: options `a.b=c` as text, or a dotted key with a value of Python's."""


@dataclass(frozen=True)
class Raw:
    """A tree that is not yet validated. `complete` False: a syntax error hides what may follow."""

    file: str
    folder: str
    tree: Keys | None
    problems: tuple[Problem, ...] = ()
    complete: bool = True


def problem_at(place: Place, key: str, message: str) -> Problem:
    """Return a problem at a place."""
    return Problem(place.file, place.line, place.column, key, message)


def read_scenario(path: str | os.PathLike[str], overrides: Overrides) -> Raw:
    """Read a file, its base and the options over both."""
    file = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(file))
    found = _read_file(file, "file")
    raw = _rooted(found, file, folder)
    return _with_overrides(_with_base(raw), overrides)


def read_mapping(mapping: Mapping[str, Any], overrides: Overrides, folder: str | None) -> Raw:
    """Read a plain mapping, its base and the options over both."""
    report = Findings()
    found = document.Document(_node(mapping, (), report, Scenario), tuple(report.problems))
    raw = _rooted(found, ANYWHERE, os.path.abspath(folder if folder is not None else os.getcwd()))
    return _with_overrides(_with_base(raw), overrides)


def reread(origin: Origin, overrides: Overrides) -> Raw:
    """Return what a scenario was read from, with options over it."""
    return _with_overrides(Raw(origin.file, origin.folder, origin.tree), overrides)


def _read_file(file: str, source: Source) -> document.Document:
    try:
        with open(file, "rb") as stream:  # never more than it takes to see that it is too much
            return document.read(stream.read(document.MAX_BYTES + 1), file, source)
    except (OSError, ValueError) as error:
        return document.Document(None, (Problem(file, 1, 1, "", _unreadable(file, error)),), complete=False)


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


def _rooted(found: document.Document, file: str, folder: str) -> Raw:
    problems = list(found.problems)
    root = found.root
    if root is None or (isinstance(root, Scalar) and root.value is None):
        if not problems:
            text = "the file is empty; `fedsim new NAME` writes a scenario to start from"
            problems.append(Problem(file, 1, 1, "", text))
        return Raw(file, folder, None, tuple(problems), found.complete)
    if not isinstance(root, Keys):
        text = f"a scenario is a mapping (`name: ...`, `rounds: ...`), got {show(plain(root))}"
        return Raw(file, folder, None, (*problems, problem_at(root.place, "", text)), found.complete)
    return Raw(file, folder, root, tuple(problems), found.complete)


def _with_base(raw: Raw) -> Raw:
    """Lay the scenario over the base that `extends:` names."""
    if raw.tree is None or "extends" not in raw.tree.entries:
        return raw
    entry = raw.tree.entries["extends"]
    tree = Keys({key: e for key, e in raw.tree.entries.items() if key != "extends"}, raw.tree.place)

    def refuse(message: str) -> Raw:
        return replace(
            raw, tree=tree, problems=(*raw.problems, problem_at(entry.node.place, "extends", message)), complete=False
        )

    name = plain(entry.node)
    if not isinstance(name, str) or not name:
        return refuse(f"must be the name of a scenario file, got {show(name)}")
    if not name.isprintable():
        return refuse(f"there is no such file: {show(name)}")
    beside = os.path.dirname(raw.file) if raw.file != ANYWHERE else raw.folder
    file = os.path.normpath(place_of(name, beside))
    if os.path.realpath(file) == os.path.realpath(raw.file):
        return refuse("a scenario cannot extend itself")
    if not os.path.isfile(file):
        why = IsADirectoryError() if os.path.isdir(file) else FileNotFoundError()
        return refuse(f"{file}: {_unreadable(file, why)}")
    folder = os.path.dirname(os.path.abspath(file))
    base = _rooted(_read_file(file, "base"), file, folder)
    if base.tree is None:
        return replace(raw, tree=tree, problems=(*raw.problems, *base.problems), complete=False)
    if "extends" in base.tree.entries:
        return refuse(f"{file} extends another file; only one level is allowed")
    below = base.tree if folder == raw.folder else _anchored(base.tree, folder)
    report = Findings([*raw.problems, *base.problems], folder=starts_at(raw.tree, raw.folder))
    merged = overlay(below, tree, Scenario, report)
    assert isinstance(merged, Keys)
    return Raw(raw.file, raw.folder, merged, tuple(report.problems), raw.complete and base.complete)


def _anchored(tree: Keys, folder: str) -> Keys:
    """Return a base's tree with its relative input paths made absolute: they start at the base's own folder."""

    def walk(node: Node, annotation: Any, mark: Reads | None) -> Node:
        if isinstance(node, Keys):
            inside = {name: walk(e.node, *_below(annotation, node, name, folder)) for name, e in node.entries.items()}
            allowed = shape(annotation) if annotation is not None else None
            if allowed is not None and allowed.door is not None and allowed.key in inside:
                inside[allowed.key] = _anchored_reference(inside[allowed.key], folder)
            return Keys({name: Entry(e.key, inside[name]) for name, e in node.entries.items()}, node.place)
        if isinstance(node, Items):
            inner = shape(annotation).item if annotation is not None else None
            return Items(tuple(walk(item, inner, mark) for item in node.items), node.place)
        if mark is None or not isinstance(node.value, str) or is_broken(node):
            return node
        path = os.fspath(place_of(node.value, folder))
        return Scalar(path, node.place) if os.path.lexists(path) or not mark.or_name else node

    whole = walk(tree, Scenario, None)
    assert isinstance(whole, Keys)
    axes = whole.entries.get("sweep")
    if axes is None or not isinstance(axes.node, Keys):
        return whole

    def along(key: str, node: Node) -> Node:
        annotation, mark = _at(tree, key, folder)
        above, _, last = key.rpartition(".")
        over = shape(_at(tree, above, folder)[0]) if above else None
        if over is not None and over.door is not None and over.key == last and isinstance(node, Items):
            return Items(tuple(_anchored_reference(item, folder) for item in node.items), node.place)
        if not isinstance(node, Items):
            return walk(node, annotation, mark)
        return Items(tuple(walk(item, annotation, mark) for item in node.items), node.place)

    moved = {key: Entry(entry.key, along(key, entry.node)) for key, entry in axes.node.entries.items()}
    return Keys({**whole.entries, "sweep": Entry(axes.key, Keys(moved, axes.node.place))}, tree.place)


def _anchored_reference(node: Node, folder: str) -> Node:
    """Return a reference to a file with its path made absolute; every other word as it is."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or is_broken(node):
        return node
    path, colon, name = node.value.partition(".py:")
    if not colon or not is_reference(node.value):
        return node
    return Scalar(f"{place_of(f'{path}.py', folder)}:{name}", node.place)


def starts_at(tree: Keys, folder: str) -> str:
    """Return where the relative paths of a tree start: at its key `folder`, else where it was read."""
    given = tree.entries.get("folder")
    value = plain(given.node) if given is not None else None
    return os.path.normpath(place_of(value, folder)) if isinstance(value, str) else folder


def _at(tree: Keys, dotted: str, folder: str) -> tuple[Any, Reads | None]:
    """Return the type of the value at a dotted key, and its mark where it is an input."""
    annotation, mark = Scenario, None
    for place, name in enumerate(names := dotted.split(".")):
        above = exactly(tree, names[:place])
        inner = shape(annotation).item if annotation is not None and name.isdecimal() else None
        annotation, mark = (inner, mark) if inner else _below(annotation, above or Keys({}, tree.place), name, folder)
    return annotation, mark


def _below(annotation: Any, node: Node, name: str, folder: str) -> tuple[Any, Reads | None]:
    """Return the type of the value under a key, and its mark where it is an input.

    Where the tag that chooses a config is not in the base, any of the choices may be meant.
    """
    if annotation is None or not isinstance(node, Keys):
        return None, None
    tags = {key: plain(entry.node) for key, entry in node.entries.items() if isinstance(entry.node, Scalar)}
    chosen = shape(annotation).choose(tags, folder)
    members = [chosen] if chosen is not None else list((shape(annotation).members or {}).values())
    found = [keys_of(cls)[name].annotation for cls in members if name in keys_of(cls)]
    marks = [mark for mark in map(reads, found) if mark is not None]
    return (found[0] if found else None), (marks[0] if marks else None)


def _with_overrides(raw: Raw, overrides: Overrides) -> Raw:
    """Apply `--set a.b=c` options, whose values are read as YAML, and values as they are.

    Problems name an option as it was given.
    """
    values: list[tuple[str, Node]] = []
    problems = list(raw.problems)
    whole = {option[0] for option in overrides if not isinstance(option, str) and _is_section(*option)}
    if raw.tree is not None and whole:
        kept = {key: entry for key, entry in raw.tree.entries.items() if key not in whole}
        raw = replace(raw, tree=Keys(kept, raw.tree.place))
    for number, option in enumerate(overrides, start=1):
        place = Place(f"--set {_option(option)}", number, 0, "--set")
        if not isinstance(option, str):
            report = Findings()
            node = _placed(_node(option[1], tuple(option[0].split(".")), report, *_meant(raw, option[0])), place)
            problems.extend(replace(p, file=place.file, line=number, column=0) for p in report.problems)
            values.append((option[0], node))
            continue
        dotted, equals, text = option.partition("=")
        if not equals or not dotted.strip():
            problems.append(problem_at(place, "", f"write it as key=value, for instance seed=2; got {show(option)}"))
            continue
        found = document.read(text.encode("utf-8", "replace"), "--set", "--set")
        if found.problems:
            problems.extend(problem_at(place, dotted.strip(), p.message) for p in found.problems)
            continue
        values.append((dotted.strip(), _placed(found.root or Scalar(None, place), place)))
    raw = replace(raw, problems=tuple(problems))
    return laid_over(raw, values) if values else raw


def _is_section(key: str, value: Any) -> bool:
    """Return whether a value says what a whole section is: it comes in the place of what was there."""
    known = keys_of(Scenario).get(key)
    word = shape(known.annotation).key if known is not None else None
    return word is not None and isinstance(value, Mapping) and word in value


def _meant(raw: Raw, dotted: str) -> tuple[Any, Door | None]:
    """Return the type of what stands at a dotted key, and the door where the key itself is the word of a choice."""
    tree, (above, _, last) = raw.tree or Keys({}, Place(raw.file)), dotted.rpartition(".")
    over = shape(_at(tree, above, raw.folder)[0] if above else Scenario)
    return _at(tree, dotted, raw.folder)[0], over.door if over.key == last else None


def _option(option: str | tuple[str, Any]) -> str:
    """Return an option as it was given, shortened, and without the password of a URL.

    >>> _option("metrics.store=postgresql://me:secret@host/runs"), _option(("seed", -1))
    ('metrics.store=postgresql://***@host/runs', 'seed=-1')
    """
    text = option if isinstance(option, str) else f"{option[0]}={show(option[1])}"
    text = re.sub(r"://[^/\s]*@", "://***@", text)
    return printable(text if len(text) <= MAX_OPTION else f"{text[:MAX_OPTION]}...") or "''"


MAX_OPTION = 80
"""Letters of an option that a message repeats."""


def _placed(node: Node, place: Place) -> Node:
    if isinstance(node, Keys):
        return Keys({k: Entry(place, _placed(e.node, place)) for k, e in node.entries.items()}, place)
    if isinstance(node, Items):
        return Items(tuple(_placed(item, place) for item in node.items), place)
    return Scalar(node.value, place)


def laid_over(raw: Raw, values: Sequence[tuple[str, Node]]) -> Raw:
    """Return the tree with values laid over it, given by dotted keys."""
    if raw.tree is None:
        return raw
    report = Findings(list(raw.problems), folder=starts_at(raw.tree, raw.folder))
    over = spread(values, report)
    merged = overlay(raw.tree, over, Scenario, report)
    assert isinstance(merged, Keys)
    return replace(raw, tree=merged, problems=tuple(report.problems))


def plain_text(text: str) -> Any:
    """Return the value that a YAML text of ours holds."""
    root = document.read(text.encode(), "", "--set").root
    return None if root is None else plain(root)


def as_plain(value: Any, key: str) -> Any:
    """Return a Python value as the plain text, numbers, lists and mappings that a file would hold.

    Raises
    ------
    ScenarioError : for what a scenario cannot hold; `key` is where it was to stand.
    """
    report = Findings()
    node = _node(value, (key,), report)
    if report.problems:
        raise ScenarioError(report.problems)
    return plain(node)


def _node(
    value: Any, path: tuple[str, ...], report: Findings, annotation: Any = None, door: Door | None = None
) -> Node:
    """Return the tree of a Python value; `annotation` is what stands here, `door` how foreign things may be a word."""
    place = Place(ANYWHERE)
    allowed = shape(annotation) if annotation is not None else Shape()
    door = door or allowed.door
    if isinstance(value, ObjectText):
        return Scalar(Object(value.target), place)
    if door is not None and door.takes(value):
        return Scalar(Object(value), place)
    value = plain_python(value)
    if isinstance(value, str | int | float | None):
        return Scalar(value, place)
    if len(path) > document.MAX_DEPTH:
        report.add(place, path[:3], f"values are nested more than {document.MAX_DEPTH} deep")
    elif is_dataclass(value) and (type(value) in configs(Scenario) or isinstance(value, Foreign)):
        kept = {f.name: getattr(value, f.name) for f in fields(value) if f.init and not f.metadata.get("internal")}
        return _node(kept, path, report, annotation)
    elif isinstance(value, Mapping):
        entries: dict[str, Entry] = {}
        for key, inner in value.items():
            if isinstance(key, str):
                kind = _below(annotation, Keys(entries, place), key, report.folder)[0]
                word = allowed.door if key == allowed.key else None
                entries[str(key)] = Entry(place, _node(inner, (*path, key), report, kind, word))
            else:
                report.add(place, path, f"a key must be text, got {show(key)}")
        return Keys(entries, place)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        items = (_node(v, (*path, str(k)), report, allowed.item) for k, v in enumerate(value))
        return Items(tuple(items), place)
    else:
        return Scalar(Object(value), place)
    return Scalar(Broken(), place)
