"""What happened in a run, as frozen values. Events are the truth; everything else (database, console, ...) reads them.

Keys make events idempotent: a value belongs to (run, round, metric), so that an event told twice changes nothing. A
run that goes back to a checkpoint says so by `RolledBack` and then tells the rounds anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

Vectors = Mapping[str, npt.NDArray[Any]]


def new_run_id() -> str:
    """Return a fresh name for a run, 16 hexadecimal digits. A resumed run keeps the one it had."""
    return os.urandom(8).hex()


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """A run begins, or goes on after a resume.

    Attributes
    ----------
    scenario : the resolved scenario as YAML text.
    versions : of fedsim, Python, and what the bits depend on.
    folder, store : where the run leaves its files and its rows, for people to read.
    """

    run: str
    name: str
    strategy: str
    seed: int
    num_clients: int
    rounds: int
    scenario: str = ""
    scenario_hash: str = ""
    schedule_hash: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    store: str = ""
    wall_time: float = field(default_factory=time.time)


@dataclass(frozen=True, kw_only=True)
class RoundDone:
    """A training round is over: registered metrics by name, and vectors over clients (ids, ages, ...) by name."""

    run: str
    round: int
    values: Mapping[str, float]
    vectors: Vectors = field(default_factory=dict)
    wall_time: float = field(default_factory=time.time)


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The model after a round was evaluated (round 0: the initial model). May arrive after later rounds."""

    run: str
    round: int
    values: Mapping[str, float]
    vectors: Vectors = field(default_factory=dict)
    wall_time: float = field(default_factory=time.time)


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something beyond the plan: a crash, a retry, a rollback, a lost host.

    `kind` is a word (crash, raised, non-finite, timeout, retry, host-lost, rollback, ...). The key is everything but
    the text and the time: a second retry of the same thing in the same round has another `attempt`.
    A notice about a client belongs to the round and is void after a rollback; the others are history and stay.
    """

    run: str
    round: int
    kind: str
    text: str
    client: int | None = None
    host: str | None = None
    attempt: int = 0
    wall_time: float = field(default_factory=time.time)


@dataclass(frozen=True, kw_only=True)
class RolledBack:
    """Everything that was told of rounds beyond this one is void; the run goes on from here."""

    run: str
    round: int
    wall_time: float = field(default_factory=time.time)


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """A run is over: completed | stopped | diverged | interrupted | failed, with the content of summary.json."""

    run: str
    status: str
    summary: Mapping[str, Any] = field(default_factory=dict)
    wall_time: float = field(default_factory=time.time)


Event = RunStarted | RoundDone | Evaluated | Notice | RolledBack | RunEnded

STATUSES = ("completed", "stopped", "diverged", "interrupted", "failed")
