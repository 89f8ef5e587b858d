"""What a run folder says of the run that was there: its id, its scenario, and whether somebody changed it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fedsim.core.errors import InputsChangedError, ScenarioError
from fedsim.core.files import atomic_write
from fedsim.core.inputs import Input, changes, renewed
from fedsim.engine.folder import NOTE, ROUNDS, SCENARIO
from fedsim.metrics.rounds_csv import whole_rounds
from fedsim.scenario import Scenario, from_dict, holder, load, read_inputs, scenario_hash, to_mapping


@dataclass(frozen=True)
class Past:
    """A run that began earlier, with `planned` rounds."""

    run: str
    scenario: Scenario
    hash: str
    planned: int
    inputs: tuple[Input, ...] = ()
    unhashed: tuple[str, ...] = ()
    """Files that it read, and of which nobody knows what they held: the run of a version that did not look."""

    def with_rounds(self, rounds: int) -> Scenario:
        """Return the scenario with more rounds."""
        if rounds < self.scenario.rounds:
            raise ScenarioError(
                f"--rounds {rounds}: rounds can be added, not taken away; the run has {self.scenario.rounds}"
            )
        return replace(self.scenario, rounds=rounds)

    def lost(self, folder: Path) -> bool:
        """Return whether its rows tell of more rounds than it would have trained without saving."""
        every = self.scenario.checkpoint and self.scenario.checkpoint.every
        rows = folder / ROUNDS
        return bool(every and rows.is_file() and whole_rounds(rows) > every)

    def unrepeatable(self, longer: Scenario) -> int | None:
        """Return a round that may not be gone on from: it was evaluated only because it was to be the last one."""
        was_last = longer.rounds > self.planned and self.planned % longer.evaluate.every
        return self.planned if was_last else None


def listed(one: Input) -> dict[str, Any]:
    """Return an input as summary.json lists it."""
    role = {"what": one.role} if one.role else {}
    return {"key": ".".join(one.key), **role, "path": one.path, "sha256": one.sha256}


def remember(folder: Path, run: str, scenario: Scenario, hash: str, inputs: Sequence[Input]) -> None:
    """Note what is being run and what its files hold, for whoever resumes it."""
    note = {"run": run, "scenario": to_mapping(scenario), "scenario_hash": hash, "inputs": [asdict(i) for i in inputs]}
    atomic_write(folder / NOTE, json.dumps(note, indent=1).encode())


@dataclass(frozen=True)
class Note:
    """What was noted of a run; `inputs` None in the folder of a version that did not look at them."""

    run: str
    scenario: Mapping[str, Any]
    inputs: tuple[Input, ...] | None
    scenario_hash: str | None

    @classmethod
    def read(cls, folder: Path) -> Note:
        """Read the note in a run folder; raises OSError, ValueError, KeyError or TypeError when it is not good."""
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        inputs = note.get("inputs")
        if not isinstance(note["scenario"], dict) or not isinstance(note["scenario"]["folder"], str):
            raise TypeError("its scenario is no mapping")
        return cls(
            str(note["run"]),
            note["scenario"],
            None if inputs is None else tuple(_input(one) for one in inputs),
            note.get("scenario_hash"),
        )

    def refuse_changes(self, folder: Path, now: Sequence[Input]) -> None:
        """Raise InputsChangedError when files hold something else than was noted."""
        lines = changes(self.inputs or (), now)
        if lines:
            text = "it changed since the run began; `fedsim run` starts another"
            raise InputsChangedError("\n".join(f"{folder}: {line}; {text}" for line in lines))

    def moved_to(self, scenario: Scenario, inputs: Sequence[Input]) -> Mapping[str, Any]:
        """Return the noted scenario with its input files where they are now: names are no part of what a run is."""
        moved: dict[str, Any] = json.loads(json.dumps(self.scenario))
        if not self.inputs:
            return moved
        now = to_mapping(scenario)
        for key in {one.key for one in self.inputs} & {one.key for one in inputs}:
            holder(moved, key)[key[-1]] = holder(now, key)[key[-1]]
        return {**moved, "folder": scenario.folder}


def _input(noted: Mapping[str, Any]) -> Input:
    signature = noted["signature"]
    size, changed, touched, inode = signature or (0, 0, 0, 0)
    key = tuple(str(name) for name in noted["key"])
    path, digest = str(noted["path"]), str(noted["sha256"])
    return Input(key, str(noted["role"]), path, digest, (size, changed, touched, inode) if signature else None)


def read_past(folder: Path) -> Past:
    """Read a run folder; rounds may have been added to its scenario.yaml.

    Raises
    ------
    InputsChangedError : a file that it reads holds something else than it did.
    ScenarioError : no run is there, or anything else in its scenario was edited; with the differences.
    """
    path = folder / SCENARIO
    try:
        note = Note.read(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ScenarioError(f"{folder}: cannot be resumed, its {NOTE} is missing or damaged") from error
    try:
        now = load(path)
        inputs = read_inputs(now, note.inputs or ())
    except ScenarioError:
        _blame_inputs(folder, note)
        raise
    note.refuse_changes(folder, inputs if note.inputs is not None else ())
    try:
        before = from_dict(note.moved_to(now, inputs), folder=now.folder if note.inputs else note.scenario["folder"])
    except (KeyError, TypeError, IndexError, ValueError, OverflowError, RecursionError, ScenarioError) as error:
        raise ScenarioError(f"{folder}: cannot be resumed, its {NOTE} is damaged") from error
    changed = list(differences(to_mapping(before), to_mapping(replace(now, rounds=before.rounds))))
    if changed or now.rounds < before.rounds:
        changed += [f"rounds: was {before.rounds}, now {now.rounds}"] if now.rounds < before.rounds else []
        text = "only more rounds may be added to a run; `fedsim run` starts another"
        raise ScenarioError("\n".join(f"{path}: {line}; {text}" for line in changed))
    by_name = scenario_hash(now, ())
    known_by_name = note.scenario_hash in (None, by_name)
    unhashed = tuple(map(str, inputs)) if note.inputs is None else ()
    return Past(
        note.run, now, by_name if known_by_name else scenario_hash(now, inputs), before.rounds, inputs, unhashed
    )


def _blame_inputs(folder: Path, note: Note) -> None:
    """Refuse by the file that changed, where a scenario cannot be read any more because of it."""
    try:
        inputs = renewed(note.inputs or ())
    except ScenarioError:  # it is gone, which is said already
        return
    note.refuse_changes(folder, inputs)


def differences(one: Mapping[str, Any], other: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield a line for every key in which two scenarios differ."""
    for key in sorted({*one, *other}):
        left, right, where = one.get(key), other.get(key), f"{path}.{key}" if path else key
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            yield from differences(left, right, where)
        elif left != right:
            yield f"{where}: was {left!r}, now {right!r}"
