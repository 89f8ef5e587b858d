"""Verify a run: train some of its rounds again, somewhere else, and compare what comes out, bit by bit."""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from fedsim.core import FedsimError, NoCheckpointError, ScenarioError
from fedsim.core.config.inputs import place_of
from fedsim.core.errors import InputsChangedError
from fedsim.core.system.signals import Signals, listener
from fedsim.engine.checkpoint import local as checkpoint
from fedsim.engine.checkpoint.local import Saved
from fedsim.engine.experiment import build
from fedsim.engine.run.folder import NOTE, PARAMS, ROUNDS, SCENARIO, SUMMARY, RunFolder, read_past
from fedsim.engine.run.seals import broken
from fedsim.engine.run.session import Session, checkpoints_of
from fedsim.metrics.registry import metric_of
from fedsim.metrics.rounds_csv import read_rows, whole_rounds
from fedsim.metrics.summary import read_summary
from fedsim.scenario import Checkpoint, Scenario


@dataclass(frozen=True)
class Known:
    """A round after which it is known how the run stood: by a checkpoint, by its end, or because it is the start."""

    round: int
    saved: Saved | None = None
    params_sha256: str | None = None

    def __str__(self) -> str:
        if self.round == 0:
            return "the start"
        return f"{'the checkpoint of' if self.saved else 'the end,'} round {self.round}"


@dataclass(frozen=True)
class Verified:
    """What a verification came to: from where to where, what was compared, and what differs.

    Without `first` and `last` the files are too damaged to train anything again.
    """

    first: Known | None
    last: Known | None
    compared: tuple[str, ...]
    differences: tuple[str, ...]
    remark: str = ""

    def __str__(self) -> str:
        if self.first is None or self.last is None:
            return "\n".join([f"nothing trained again: {len(self.differences)} differ", *self.differences])
        rounds = self.last.round - self.first.round
        if not rounds:
            return "\n".join(["nothing was trained again: what the run reads has changed", *self.differences])
        where = f"{rounds} round{'s' if rounds > 1 else ''} from {self.first} to {self.last}"
        if self.differences:
            told = [f"{where} trained again: {len(self.differences)} differ", *self.differences]
        else:
            told = [f"{where} trained again: equal in {', '.join(self.compared)}"]
        return "\n".join([*told, self.remark] if self.remark else told)


def verify(path: str | Path, rounds: int | None = None, signals: Signals | None = None) -> Verified:
    """Check every file of a run, train rounds of it again and compare; nothing in its folder changes.

    Without `rounds` the last stretch between two known states is repeated, with it the longest one of at most so many
    rounds. Known states are good checkpoints, the end, and the start.

    Where a file that the run reads has changed nothing is trained, and the file is the difference.

    Raises
    ------
    ScenarioError : no run is there, its scenario was changed, or no two known states are that close.
    """
    folder = place_of(path)
    if not any((folder / name).is_file() for name in (SCENARIO, NOTE, SUMMARY)):
        raise ScenarioError(f"{folder}: no run is in this folder ({SCENARIO} is missing)")
    files = broken(folder)
    try:
        found = _trained_again(folder, rounds, signals)
    except InputsChangedError as error:
        return Verified(Known(0), Known(0), (), (*files, *str(error).splitlines()))
    except FedsimError as error:
        if not files:
            raise
        return Verified(None, None, (), (*files, f"cannot be trained again: {error}"))
    return replace(found, compared=("files", *found.compared), differences=(*files, *found.differences))


def _trained_again(folder: Path, rounds: int | None, signals: Signals | None) -> Verified:
    past = read_past(folder)
    summary = read_summary(folder)
    passed: list[str] = []
    known = _known(folder, past.scenario, past.run, past.hash, summary, passed)
    first, last = _stretch(known, rounds, folder)
    rows = folder / ROUNDS
    if (whole := whole_rounds(rows)) < first.round:
        short = f"{ROUNDS}: holds {whole} whole rounds, and training again begins after round {first.round}"
        return Verified(None, None, (), (*passed, short))
    place = Path(tempfile.mkdtemp(prefix="fs-verify-"))
    try:
        scenario = _again(past.scenario, last.round, place)
        out = place / "run"
        out.mkdir()
        if rows.is_file():
            shutil.copy(rows, out / ROUNDS)
        held = RunFolder(out)
        session = Session(
            build(scenario, None, past.inputs),
            held,
            past.run,
            signals or listener(),
            saved=first.saved,
            fresh=False,
            until=last.round,
            hash=past.hash,
        )
        done = session.run()
        found = _compare(first, last, done, folder, out)
        remark = f"{', '.join(past.unhashed)}: not hashed when the run began" if past.unhashed else ""
        return replace(found, differences=(*passed, *found.differences), remark=remark)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _known(
    folder: Path, scenario: Scenario, run: str, hash: str, summary: Mapping[str, Any], passed: list[str]
) -> list[Known]:
    """Return what is known of a run, by round; of a checkpoint and the end of one round the checkpoint.

    A checkpoint that is not good is passed over, and told in `passed`.
    """
    found = {0: Known(0)}
    if summary.get("params_sha256") and summary.get("rounds"):
        found[summary["rounds"]] = Known(summary["rounds"], None, summary["params_sha256"])
    for place in checkpoint.found_in(checkpoints_of(scenario, folder, run)):
        try:
            saved = checkpoint.check(place, run, hash)
        except NoCheckpointError as error:
            passed.append(str(error))
            continue
        digest = found[saved.round].params_sha256 if saved.round in found else None
        found[saved.round] = Known(saved.round, saved, digest)
    return [found[round] for round in sorted(found)]


def _stretch(known: list[Known], rounds: int | None, folder: Path) -> tuple[Known, Known]:
    pairs = [(one, other) for place, one in enumerate(known) for other in known[place + 1 :]]
    if not pairs:
        raise ScenarioError(f"{folder}: nothing to verify, the run has not finished a round")
    if rounds is None:
        return known[-2], known[-1]
    near = [pair for pair in pairs if pair[1].round - pair[0].round <= rounds]
    if not near:
        shortest = min(other.round - one.round for one, other in pairs)
        raise ScenarioError(f"{folder}: the nearest known states are {shortest} rounds apart; say --rounds {shortest}")
    return max(near, key=lambda pair: (pair[1].round - pair[0].round, pair[1].round))


def _again(scenario: Scenario, rounds: int, place: Path) -> Scenario:
    """Return the scenario that saves after a round; it records into `place`."""
    metrics = replace(scenario.metrics, store=f"sqlite:///{place}/fedsim.db", sinks=())
    return replace(scenario, metrics=metrics, checkpoint=Checkpoint(every=rounds, keep=1))


def _compare(first: Known, last: Known, done: Mapping[str, Any], folder: Path, out: Path) -> Verified:
    compared, differences = [], []
    if last.params_sha256 is not None:
        compared.append("parameters")
        if done["params_sha256"] != last.params_sha256:
            differences.append(f"params_sha256: was {last.params_sha256}, is {done['params_sha256']}")
    if last.saved is not None:
        compared.append("server state and what nodes keep")
        run = done["run"]
        again = checkpoint.check(out / checkpoint.FOLDER / checkpoint.name_of(last.round), run, done["scenario_hash"])
        for name in sorted({*last.saved.manifest.files, *again.manifest.files}):
            before, now = last.saved.manifest.files.get(name), again.manifest.files.get(name)
            if before != now:
                differences.append(f"{name} of the checkpoint: was {before and before[0]}, is {now and now[0]}")
    if last.params_sha256 is not None:
        differences += _parameters(folder / PARAMS, out / PARAMS)
    lines = list(_rows(folder / ROUNDS, out / ROUNDS, first.round, last.round))
    return Verified(first, last, (*compared, "metrics of these rounds"), (*differences, *lines))


def _rows(before: Path, now: Path, first: int, last: int) -> Iterator[str]:
    """Yield a line for every reproducible metric that differs in rounds after `first`."""
    one, other = _table(before), _table(now)
    for round in range(first + 1, last + 1):
        left, right = one.get(str(round), {}), other.get(str(round), {})
        for name in (name for name in {**left, **right} if (metric := metric_of(name)) and metric.reproducible):
            values = left.get(name, ""), right.get(name, "")
            if values[0] != values[1]:
                yield f"round {round}, {name}: was {values[0]}, is {values[1]}"


def _parameters(before: Path, now: Path) -> Iterator[str]:
    """Yield a line for every array of params.npz that differs, or one when the file cannot be read."""
    try:
        with np.load(before, allow_pickle=False) as one, np.load(now, allow_pickle=False) as other:
            for name in sorted({*one, *other}):
                if name not in one or name not in other or one[name].tobytes() != other[name].tobytes():
                    yield f"{PARAMS}: {name} differs"
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error, NotImplementedError) as error:
        yield f"{PARAMS}: cannot be read ({error})"


def _table(path: Path) -> dict[str, dict[str, str]]:
    return {row.get("round", ""): row for row in read_rows(path)}
