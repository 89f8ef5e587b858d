"""Laying one tree over another: a file over its base, `--set` and sweep values over both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedsim.core.foreign.reference import Object
from fedsim.scenario.check import Findings
from fedsim.scenario.messages import show
from fedsim.scenario.tree import Entry, Items, Keys, Node, Place, Scalar, plain, unfolded
from fedsim.scenario.types import below, keys_of, shape


def overlay(base: Node, over: Node, annotation: Any, report: Findings, path: tuple[str, ...] = ()) -> Node:
    """Return `over` laid on `base`: mappings merge key by key, everything else replaces.

    A mapping that chooses another member of a tagged union (`kind: ray` over `kind: serial`) keeps the options that
    mean the same for both (`nodes`) and drops the others, which belong to the old choice. A mapping laid on a list
    changes single items when all of its keys are places in the list (`--set model.hidden.0=32`).
    """
    if isinstance(base, Items) and isinstance(over, Keys) and over.entries and all(k.isdecimal() for k in over.entries):
        return _overlay_items(base, over, annotation, report, path)
    if isinstance(base, Scalar) and isinstance(base.value, Object) and shape(annotation).door is not None:
        base = unfolded(base.value, base.place, str(shape(annotation).key))
    if not isinstance(base, Keys) or not isinstance(over, Keys):
        return over
    merged = (
        _shared(base, over, annotation, report.folder)
        if _chooses_another(base, over, annotation)
        else dict(base.entries)
    )
    together = {key: plain(e.node) for key, e in {**base.entries, **over.entries}.items() if isinstance(e.node, Scalar)}
    for name, entry in over.entries.items():
        if name in merged:
            inner = below(annotation, together, name, report.folder)
            entry = Entry(entry.key, overlay(merged[name].node, entry.node, inner, report, (*path, name)))
        merged[name] = entry
    return Keys(merged, base.place)


def _chooses_another(base: Keys, over: Keys, annotation: Any) -> bool:
    key = shape(annotation).key if annotation is not None else None
    if key is None or key not in base.entries or key not in over.entries:
        return False
    return bool(plain(base.entries[key].node) != plain(over.entries[key].node))


def _shared(base: Keys, over: Keys, annotation: Any, folder: str) -> dict[str, Entry]:
    """Return the options of the old choice that the new one has too, with the same type."""
    allowed = shape(annotation)
    old, new = (
        allowed.choose({key: plain(e.node) for key, e in keys.entries.items() if key == allowed.key}, folder)
        for keys in (base, over)
    )
    if old is None or new is None:
        return {}
    before, after = keys_of(old), keys_of(new)
    alike = (
        name
        for name in before
        if name != allowed.key and name in after and before[name].annotation == after[name].annotation
    )
    return {name: base.entries[name] for name in alike if name in base.entries}


def _overlay_items(base: Items, over: Keys, annotation: Any, report: Findings, path: tuple[str, ...]) -> Items:
    inner = shape(annotation).item if annotation is not None else None
    items = list(base.items)
    for name, entry in over.entries.items():
        if int(name) < len(items):
            items[int(name)] = overlay(items[int(name)], entry.node, inner, report, (*path, name))
        else:
            numbers = f"its places are 0 to {len(items) - 1}" if items else "it is empty"
            report.add(entry.key, (*path, name), f"the list has no place {name}; {numbers}")
    return Items(tuple(items), base.place)


def spread(values: Sequence[tuple[str, Node]], report: Findings) -> Keys:
    """Return the tree of dotted keys: a.b=1, a.c=2 -> {a: {b: 1, c: 2}}; of equal keys the last one counts."""
    root: dict[str, Any] = {}
    for dotted, node in values:
        names = dotted.split(".")
        if not all(name.strip() for name in names):
            report.add(node.place, (), f"{show(dotted)} is no key; write it as strategy.beta")
            continue
        level = root
        for name in names[:-1]:
            if not isinstance(level.setdefault(name, {}), dict):
                level[name] = _opened(level[name])
            level = level[name]
        level[names[-1]] = node
    return _tree(root)


def _opened(node: Node) -> dict[str, Any]:
    """Make room below a value: `--set client.lr=1` after `--set client={batch_size: 3}`."""
    return {key: entry.node for key, entry in node.entries.items()} if isinstance(node, Keys) else {}


def _tree(level: dict[str, Any]) -> Keys:
    nodes = {name: _tree(value) if isinstance(value, dict) else value for name, value in level.items()}
    entries = {name: Entry(node.place, node) for name, node in nodes.items()}
    return Keys(entries, next((node.place for node in nodes.values()), Place("")))
