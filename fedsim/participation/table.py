"""Small CSV files of numbers that a user typed or exported, with errors that name file and line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedsim.core import Problem, ScenarioError
from fedsim.core.contracts import Ids, Vector

Mask = npt.NDArray[np.bool_]
_MOST = 20


@dataclass(frozen=True, eq=False)
class CsvTable:
    """A CSV file: its columns as float64 vectors, the line on which each row stands, and what could not be read."""

    path: Path
    columns: dict[str, Vector]
    lines: Ids
    unread: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.lines)

    def problems_where(self, wrong: Mask, key: str, message: Callable[[int], str]) -> list[Problem]:
        """Return what is wrong with one column in the rows of a mask."""
        rows: list[int] = np.flatnonzero(wrong).tolist()
        return [Problem(str(self.path), int(self.lines[row]), 1, key, message(row)) for row in rows]

    def refuse(self, problems: list[Problem]) -> None:
        """Raise all problems at once, in the order of the lines; nothing when there are none."""
        _refuse(self.path, [*self.unread, *problems])


def _refuse(path: Path, problems: list[Problem]) -> None:
    if not problems:
        return
    ordered = sorted(problems, key=lambda problem: (problem.line, problem.column))
    left_out = len(ordered) - _MOST
    if left_out > 0:
        line = ordered[_MOST].line
        ordered = [*ordered[:_MOST], Problem(str(path), line, 1, "", f"... and {left_out} more")]
    raise ScenarioError(ordered)


def read_table(path: Path, names: tuple[str, ...]) -> CsvTable:
    """Read a CSV file whose first line names exactly the given columns, in any order; blank lines are skipped.

    Raises ScenarioError with FILE:LINE:COLUMN for a missing or unreadable file, a wrong header, a wrong number of
    fields. Lines with something that is not a finite number are left out and kept as `unread` problems, so that
    `refuse` can tell them together with what is wrong in the others.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: is not a text file (UTF-8)") from None
    wanted = ",".join(names)
    filled = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not filled:
        raise ScenarioError([Problem(str(path), 1, 1, "", f"is empty; the first line must be {wanted}")])
    number, first = filled[0]
    header = [name.strip() for name in first.split(",")]
    if sorted(header) != sorted(names):
        raise ScenarioError([Problem(str(path), number, 1, "", f"the first line must be {wanted}, got {first!r}")])
    if len(filled) == 1:
        raise ScenarioError([Problem(str(path), number, 1, "", "has no rows below its first line")])
    rows = [_numbers(line.split(","), len(header)) for _, line in filled[1:]]
    values = np.array(rows, dtype=np.float64)
    problems: list[Problem] = []
    for row in np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
        problems += _explain(path, *filled[row + 1], header)
    good = np.isfinite(values).all(axis=1)
    lines_of_rows = np.array([number for number, _ in filled[1:]], dtype=np.int64)[good]
    if not good.any():
        _refuse(path, problems)
    columns = {name: values[good, place] for place, name in enumerate(header)}
    return CsvTable(path, columns, lines_of_rows, tuple(problems))


def unknown_clients(table: CsvTable, num_clients: int) -> list[Problem]:
    """Return what is wrong in the column `client`: it must hold ids 0..N-1."""
    given = table.columns["client"]
    wrong = (given != np.floor(given)) | (given < 0) | (given >= num_clients)
    allowed = f"clients are numbered 0 to {num_clients - 1}"
    return table.problems_where(wrong, "client", lambda row: f"{given[row]:g} does not exist ({allowed})")


def _numbers(fields: list[str], width: int) -> list[float]:
    """Return the numbers of a line, or as many NaN when it has others than it should."""
    try:
        numbers = [_number(field) for field in fields]
    except ValueError:
        numbers = []
    return numbers if len(numbers) == width else [nan] * width


def _explain(path: Path, number: int, line: str, header: list[str]) -> list[Problem]:
    fields = line.split(",")
    if len(fields) != len(header):
        return [Problem(str(path), number, 1, "", f"has {len(fields)} fields instead of {len(header)}")]
    column, found = 1, []
    for name, field in zip(header, fields, strict=True):
        if not _is_number(field):
            found.append(Problem(str(path), number, column, name, f"must be a finite number, got {field.strip()!r}"))
        column += len(field) + 1
    return found


def _is_number(field: str) -> bool:
    try:
        return isfinite(_number(field))
    except ValueError:
        return False


def _number(field: str) -> float:
    """Return the number in a field; Python alone reads 1_000 as a thousand, other programs as text."""
    if "_" in field or not field.isascii():
        raise ValueError(field)
    return float(field)
