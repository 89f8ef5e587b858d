"""The run folder: what a run leaves behind, locked while somebody writes into it."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import DiskError, LockedError, ScenarioError
from fedsim.core.config.inputs import Input, changes, place_of, renewed
from fedsim.core.contracts import Parameters
from fedsim.core.errors import InputsChangedError
from fedsim.core.state import save_arrays
from fedsim.core.system.files import atomic_write, told_plainly
from fedsim.metrics.rounds_csv import whole_rounds
from fedsim.scenario import Scenario, from_dict, holder, load, override, read_inputs, scenario_hash, to_mapping
from fedsim.scenario.raw import Overrides

SCENARIO, ROUNDS, PARAMS, SUMMARY = "scenario.yaml", "rounds.csv", "params.npz", "summary.json"
LOCK, NOTE, CODE, ERROR_LOG = ".lock", ".run.json", "code", "error.log"
OWN = (
    SCENARIO,
    ROUNDS,
    PARAMS,
    SUMMARY,
    LOCK,
    NOTE,
    CODE,
    ERROR_LOG,
    "ray.log",
    "spool.jsonl",
    "checkpoints",
    "memory",
    "tensorboard",
)


class RunFolder:
    """A folder with a run in it, held by this process until `release`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with told_plainly(path):
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "another process"
            os.close(self._lock)
            raise LockedError(f"{path}: locked by process {holder}, which is writing a run there") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let go of the folder."""
        if self.held():
            (self.path / LOCK).unlink(missing_ok=True)
        os.close(self._lock)

    def held(self) -> bool:
        """Return whether the lock in the folder is still this one: two calls to the system, for every round."""
        try:
            there = os.stat(self.path / LOCK)
        except OSError:
            return False
        ours = os.fstat(self._lock)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def check_held(self) -> None:
        """Raise when the folder is no longer this process's to write into.

        Raises
        ------
        DiskError : the folder was removed or moved away.
        LockedError : the lock was removed or replaced; another process may be writing.
        """
        if self.held():
            return
        if not self.path.is_dir():
            raise DiskError(f"{self.path}: the run's folder was removed while the run went on")
        raise LockedError(f"{self.path / LOCK}: was removed or replaced while the run went on; nothing more is written")

    def file(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.path / name

    def write_params(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write params.npz: the final parameters by name."""
        buffer = io.BytesIO()
        save_arrays(buffer, {name: np.ascontiguousarray(value) for name, value in arrays.items()})
        atomic_write(self.file(PARAMS), buffer.getvalue())


def params_sha256(params: Parameters) -> str:
    """Return the sha256 of the parameters as little-endian float32."""
    return hashlib.sha256(np.ascontiguousarray(params, dtype="<f4").tobytes()).hexdigest()


def create(out: str | Path | None, default: str, *, overwrite: bool = False) -> RunFolder:
    """Make and lock the folder of a new run.

    Without `out` it is `runs/<default>`, or with -2, -3, ... when that is taken. A given folder that is taken is
    refused, unless `overwrite` is said and what is there is a run.
    """
    if out is None:
        with told_plainly(Path("runs")):
            Path("runs").mkdir(exist_ok=True)
            number = 1
            while True:
                path = Path("runs") / (default if number == 1 else f"{default}-{number}")
                try:
                    path.mkdir()
                except FileExistsError:
                    number += 1
                else:
                    return RunFolder(path)
    path = place_of(out)
    if path.exists() and not path.is_dir():
        raise ScenarioError(f"--out {path}: is a file, not a folder")
    taken = path.is_dir() and any(path.iterdir())
    if taken and not overwrite:
        raise ScenarioError(f"--out {path}: the folder is not empty; choose another, or say --overwrite")
    if taken and not (path / SCENARIO).exists():
        raise ScenarioError(f"--out {path}: --overwrite replaces runs only, and no run is in this folder")
    with told_plainly(path):
        path.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(path)
    for name in OWN:
        if name != LOCK:
            _remove(path / name)
    return folder


def reopen(path: str | Path) -> RunFolder:
    """Lock the folder of a run that began earlier."""
    folder = place_of(path)
    if not (folder / SCENARIO).is_file():
        raise ScenarioError(f"{folder}: no run is in this folder ({SCENARIO} is missing)")
    return RunFolder(folder)


def _remove(path: Path) -> None:
    with told_plainly(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class PreviousRun:
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

    def in_its_time(self, scenario: Scenario) -> Scenario:
        """Return a scenario with the meaning that it had then: version one knew memories of updates alone."""
        if "of" in self.scenario["memory"]:
            return scenario
        return replace(scenario, memory=replace(scenario.memory, of="update"))

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


def read_past(folder: Path) -> PreviousRun:
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
    now = note.in_its_time(now)
    try:
        before = from_dict(note.moved_to(now, inputs), folder=now.folder if note.inputs else note.scenario["folder"])
        before = note.in_its_time(before)
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
    return PreviousRun(
        note.run, now, by_name if known_by_name else scenario_hash(now, inputs), before.rounds, inputs, unhashed
    )


def refuse_others(folder: Path, scenario: Scenario, again: Overrides) -> None:
    """Raise ScenarioError when parts of a run's scenario that are given again are not what they were."""
    if not again:
        return
    lines = list(differences(to_mapping(scenario), to_mapping(override(scenario, again))))
    if lines:
        raise ScenarioError("\n".join(f"{folder}: {line}; give what the run was given" for line in lines))


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
