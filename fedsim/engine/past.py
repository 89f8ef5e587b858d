"""What a run folder says of the run that was there: its id, its scenario, and whether somebody changed it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedsim.core import ScenarioError
from fedsim.core.files import atomic_write
from fedsim.engine.folder import NOTE, ROUNDS, SCENARIO
from fedsim.metrics.rounds_csv import whole_rounds
from fedsim.scenario import Scenario, from_dict, load, scenario_hash, to_mapping


@dataclass(frozen=True)
class Past:
    """A run that began earlier, with `planned` rounds."""

    run: str
    scenario: Scenario
    hash: str
    planned: int

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


def remember(folder: Path, run: str, scenario: Scenario) -> None:
    """Note what is being run, for whoever resumes it."""
    atomic_write(folder / NOTE, json.dumps({"run": run, "scenario": to_mapping(scenario)}, indent=1).encode())


def read_past(folder: Path) -> Past:
    """Read a run folder; rounds may have been added to its scenario.yaml.

    Raises
    ------
    ScenarioError : no run is there, or anything else in its scenario was edited; with the differences.
    """
    path = folder / SCENARIO
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        run, before = str(note["run"]), from_dict(note["scenario"], folder=note["scenario"]["folder"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, ScenarioError) as error:
        raise ScenarioError(f"{folder}: cannot be resumed, its {NOTE} is missing or damaged") from error
    now = load(path)
    changed = list(differences(to_mapping(before), to_mapping(replace(now, rounds=before.rounds))))
    if changed or now.rounds < before.rounds:
        changed += [f"rounds: was {before.rounds}, now {now.rounds}"] if now.rounds < before.rounds else []
        text = "only more rounds may be added to a run; `fedsim run` starts another"
        raise ScenarioError("\n".join(f"{path}: {line}; {text}" for line in changed))
    return Past(run, now, scenario_hash(now), before.rounds)


def differences(one: Mapping[str, Any], other: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield a line for every key in which two scenarios differ."""
    for key in sorted({*one, *other}):
        left, right, where = one.get(key), other.get(key), f"{path}.{key}" if path else key
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            yield from differences(left, right, where)
        elif left != right:
            yield f"{where}: was {left!r}, now {right!r}"
