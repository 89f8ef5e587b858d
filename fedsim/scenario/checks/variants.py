"""Variants under `compare:`: a name and any keys of the scenario, laid over the scenario itself.

An entry of the list that has a key of the scenario beside its name is a variant, every other one a strategy. A
variant's `strategy:` stands for itself, as every strategy of the list; its other sections are laid over the scenario's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedsim.scenario.check import Findings
from fedsim.scenario.messages import did_you_mean, show
from fedsim.scenario.tree import Entry, Items, Keys, Node, Place, Scalar, plain

NOT_HERE = {
    "seed": "the seeds of a comparison are the same for all of its lines; say --seeds",
    "compare": "a variant is one line of a comparison",
    "sweep": "a variant is one line of a comparison",
    "card": "a card is about the whole comparison",
    "folder": "relative paths start where those of the scenario do",
}
MAX_NAME = 200


@dataclass(frozen=True)
class Written:
    """A variant as it was written: its place in the list, its name, and what it lays over the scenario."""

    position: int
    name: str
    place: Place
    values: Mapping[str, Entry]


def taken_out(tree: Keys, sections: Mapping[str, object], report: Findings) -> tuple[Keys, tuple[Written, ...]]:
    """Return the tree with strategies only under `compare:`, and the variants that stood among them.

    `sections` are the keys of a scenario.
    """
    listed = tree.entries.get("compare")
    if listed is None or not isinstance(listed.node, Items):
        return tree, ()
    kept: list[Node] = []
    found: list[Written] = []
    for position, node in enumerate(listed.node.items):
        if not isinstance(node, Keys) or not (set(node.entries) - {"name"}) & set(sections):
            kept.append(node)
            continue
        one = _read(position, node, sections, report)
        if one is not None and any(one.name == other.name for other in found):
            report.add(one.place, ("compare", str(position), "name"), f"{show(one.name)} is there twice")
        elif one is not None:
            found.append(one)
    if len(kept) == len(listed.node.items):
        return tree, ()
    entries = {key: entry for key, entry in tree.entries.items() if key != "compare"}
    if kept:
        entries["compare"] = Entry(listed.key, Items(tuple(kept), listed.node.place))
    return Keys(entries, tree.place), tuple(found)


def _read(position: int, node: Keys, sections: Mapping[str, object], report: Findings) -> Written | None:
    """Return a variant, None when its name or its keys are wrong."""
    path, sound = ("compare", str(position)), True
    for key, entry in node.entries.items():
        if key in NOT_HERE:
            report.add(entry.key, (*path, key), f"cannot be changed by a variant: {NOT_HERE[key]}")
            sound = False
        elif key not in sections:
            report.add(entry.key, (*path, key), f"is no key of a scenario{did_you_mean(key, sections)}")
            sound = False
    named = node.entries.get("name")
    if named is None:
        report.add(node.place, (*path, "name"), "is missing; a variant is called by its name")
        return None
    name = plain(named.node)
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME:
        report.add(named.node.place, (*path, "name"), f"must be a text of 1 to {MAX_NAME} letters, got {show(name)}")
        return None
    values = {key: entry for key, entry in node.entries.items() if key != "name"}
    return Written(position, name, node.place, values) if sound else None


def without(tree: Keys, *keys: str) -> Keys:
    """Return a tree without some of its sections."""
    return Keys({key: entry for key, entry in tree.entries.items() if key not in keys}, tree.place)


def named(scenario: str, variant: Written) -> Scalar:
    """Return the name of a variant's runs."""
    return Scalar(f"{scenario[: MAX_NAME - 2 - len(variant.name)]}: {variant.name}"[:MAX_NAME], variant.place)
