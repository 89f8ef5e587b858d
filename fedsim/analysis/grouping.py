"""Runs that differ in nothing but the seed belong together; what else differs is what a group is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

NOT_COMPARED = frozenset(
    {"name", "seed", "metrics", "checkpoint", "engine", "evaluate", "probe", "folder", "compare", "sweep", "card"}
)
"""Sections of a scenario that change neither what is trained nor what is compared."""

LONGEST, MOST_NODES, DEEPEST = 1_000_000, 20_000, 20
LONGEST_KEY = 200
"""Of a text; the service gets texts from strangers."""


@dataclass(frozen=True)
class About:
    """What grouping needs to know of a run; `scenario` is the resolved YAML text."""

    run: str
    name: str
    strategy: str
    seed: int
    scenario: str = ""


class _Listed(Protocol):
    """What tells runs of one name apart."""

    @property
    def run(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def scenario(self) -> str: ...


@dataclass(frozen=True)
class RunGroup:
    """Runs of one scenario under several seeds, with a word for it."""

    label: str
    runs: tuple[About, ...]

    @property
    def by_seed(self) -> dict[int, str]:
        """Return one run for each seed, the first given."""
        found: dict[int, str] = {}
        for about in self.runs:
            found.setdefault(about.seed, about.run)
        return found


def flat(scenario: str) -> dict[str, str]:
    """Return the scalars of a YAML text by dotted key; nothing for a text that is none.

    >>> flat("{rounds: 5, strategy: {name: fedstale, beta: 0.5}}")
    {'rounds': '5', 'strategy.name': 'fedstale', 'strategy.beta': '0.5'}
    """
    import yaml

    found: dict[str, str] = {}
    if len(scenario) > LONGEST:
        return found
    levels: list[_Level] = []
    spent = 0
    try:
        # events, not nodes: nothing is built, no alias is followed, and reading stops where it is enough
        for event in islice(yaml.parse(scenario, Loader=yaml.CSafeLoader), 2 * MOST_NODES):
            if isinstance(event, yaml.CollectionEndEvent):
                levels.pop()
            elif isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent | yaml.AliasEvent):
                scalar = str(event.value) if isinstance(event, yaml.ScalarEvent) else None
                path = levels[-1].place(scalar) if levels else ""
                if scalar is None and not isinstance(event, yaml.AliasEvent):
                    levels.append(_Level(path, isinstance(event, yaml.MappingStartEvent)))
                elif scalar is not None and path and len(found) < MOST_NODES:
                    found[path] = scalar
                    spent += len(path)
            if len(levels) > DEEPEST or spent > LONGEST:
                break
    except (yaml.YAMLError, ValueError):
        return {}
    return found


@dataclass
class _Level:
    """A mapping or sequence that is being read; its path is None where it is a key, or below one."""

    path: str | None
    mapping: bool
    count: int = 0
    key: str | None = None

    def place(self, scalar: str | None) -> str | None:
        """Return the path of what comes next, None for a key. A key that is no short scalar has nothing below it."""
        self.count += 1
        if self.mapping and self.count % 2:
            self.key = scalar if scalar is not None and len(scalar) <= LONGEST_KEY else None
            return None
        key = self.key if self.mapping else str(self.count - 1)
        if self.path is None or key is None:
            return None
        return f"{self.path}.{key}" if self.path else key


def groups(runs: Sequence[About]) -> list[RunGroup]:
    """Put runs of the same scenario together, in order of appearance, and name each group by what sets it apart.

    >>> text = "strategy: {{name: fedstale, beta: {}}}"
    >>> made = [About(f"r{k}", "x", "fedstale", k % 2, text.format(k // 2)) for k in range(4)]
    >>> [(group.label, sorted(group.by_seed)) for group in groups(made)]
    [('beta=0', [0, 1]), ('beta=1', [0, 1])]
    """
    together: dict[tuple[tuple[str, str], ...], list[About]] = {}
    for about in runs:
        leaves = {key: value for key, value in flat(about.scenario).items() if key.split(".")[0] not in NOT_COMPARED}
        if not leaves:
            leaves = {"name": about.name, "strategy.name": about.strategy}
        together.setdefault(tuple(sorted(leaves.items())), []).append(about)
    labels = _labels([dict(key) for key in together], list(together.values()))
    return [RunGroup(label, tuple(members)) for label, members in zip(labels, together.values(), strict=True)]


def differences(runs: Sequence[_Listed]) -> dict[str, str]:
    """Return, by run, what of its scenario sets it apart from the others of its name; strategies and seeds go unsaid.

    >>> text = "{{strategy: {{name: fedstale, beta: {}}}, seed: {}, rounds: 5}}"
    >>> differences([About(f"r{k}", "x", "fedstale", k, text.format(k / 10, k)) for k in range(2)])
    {'r0': 'beta=0.0', 'r1': 'beta=0.1'}
    """
    named: dict[str, dict[str, dict[str, str]]] = {}
    for about in runs:
        kept = {key: value for key, value in flat(about.scenario).items() if key.split(".")[0] not in NOT_COMPARED}
        named.setdefault(about.name, {})[about.run] = {k: v for k, v in kept.items() if k != "strategy.name"}
    return {run: words for members in named.values() for run, words in _apart(members).items()}


def _apart(members: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    known = [leaves for leaves in members.values() if leaves]  # a text that is none says nothing of the others
    keys = list(dict.fromkeys(key for leaves in known for key in leaves))
    apart = [key for key in keys if len({leaves.get(key) for leaves in known}) > 1]
    last = [key.rpartition(".")[2] for key in apart]
    found = {}
    for run, leaves in members.items():
        words = [
            f"{short if last.count(short) == 1 else key}={leaves[key]}"
            for key, short in zip(apart, last, strict=True)
            if leaves.get(key, "null") not in ("null", "")
        ]
        found[run] = " ".join(words[:4]) + (" ..." if len(words) > 4 else "")
    return found


def _labels(leaves: Sequence[Mapping[str, str]], members: Sequence[Sequence[About]]) -> list[str]:
    names = [{about.name for about in group} for group in members]
    if all(len(group) == 1 for group in names) and len(set().union(*names)) == len(names) > 1:
        return [next(iter(group)) for group in names]
    keys = list(dict.fromkeys(key for group in leaves for key in group))
    apart = [key for key in keys if len({group.get(key) for group in leaves}) > 1]
    apart.sort(key=lambda key: (key != "strategy.name", not key.startswith("strategy."), key))
    last = [key.rpartition(".")[2] for key in apart]
    found = []
    for group, about in zip(leaves, members, strict=True):
        words = (
            [] if "strategy.name" in apart and "strategy.name" in group else [about[0].strategy] if not apart else []
        )
        for key, short in zip(apart, last, strict=True):
            if key in group and group[key] not in ("null", ""):
                shown = short if last.count(short) == 1 else key
                words.append(group[key] if key == "strategy.name" else f"{shown}={group[key]}")
        found.append(" ".join(words[:4]) + (" ..." if len(words) > 4 else "") or about[0].strategy)
    return [label if found.count(label) == 1 else f"{label} #{place + 1}" for place, label in enumerate(found)]
