"""Every way in which fedsim stops, each with the exit code that the command line returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class FedsimError(Exception):
    """A stop with a reason. `exit_code` is what the process returns."""

    exit_code = 1
    details = ""
    """The whole traceback, where foreign code raised: it is kept in the run's folder."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a scenario: where, at which key, and in the user's words what.

    >>> print(Problem("s.yaml", 3, 7, "client.lr", "must be at least 0, got -1"))
    s.yaml:3:7: client.lr: must be at least 0, got -1

    What was given as an option is named as it was given: `file` holds the option, `line` its number among its like, and
    `column` is 0.

    >>> print(Problem("--set client.lr=-1", 1, 0, "client.lr", "must be at least 0, got -1"))
    --set client.lr=-1: client.lr: must be at least 0, got -1
    """

    file: str
    line: int
    column: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.column else self.file
        text = f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"
        return " ".join(text.splitlines())


class ScenarioError(FedsimError):
    """The scenario, an input file it names, or an option is wrong. Carries every problem at once."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems: tuple[Problem, ...] = () if isinstance(problems, str) else tuple(problems)
        super().__init__(problems if isinstance(problems, str) else "\n".join(map(str, problems)))


class InputsChangedError(ScenarioError):
    """A file that a run reads holds something else than it did when the run began, or was planned."""


class ClientError(FedsimError):
    """A client raised, or returned something unusable, and the scenario says `on_client_error: fail`."""

    exit_code = 3


class CapacityError(FedsimError):
    """What was asked for does not fit on this machine or cluster."""

    exit_code = 4


class ClusterLostError(FedsimError):
    """The Ray cluster, or a host beyond its retries, is gone."""

    exit_code = 5


class NonFiniteError(FedsimError):
    """A client's delta or the global model is not finite."""

    exit_code = 6


class NoCheckpointError(FedsimError):
    """A resume was asked for and no good checkpoint exists."""

    exit_code = 7


class DiskError(FedsimError):
    """The disk is full or a folder cannot be written."""

    exit_code = 8


class LockedError(FedsimError):
    """Another process is writing into the same run folder."""

    exit_code = 10
