"""rounds.csv: a header, then one row per training round, in order, written when the round is complete.

The evaluation of round r may overlap with round r + 1. A round that awaits one is held back until `evaluated` brings
it, and later rounds wait behind it, so that rows are only ever appended.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from fedsim.core.errors import DiskError
from fedsim.core.system.files import atomic_write, told_plainly, unwritable
from fedsim.metrics.registry import find


@cache
def _counts(columns: tuple[str, ...]) -> frozenset[str]:
    """Return the columns that hold counts."""
    return frozenset(name for name in columns if find(name).whole)


def line(columns: tuple[str, ...], values: Mapping[str, float]) -> str:
    """Write one row: counts as integers, floats in the shortest form that reads back to the same bits.

    >>> line(("cohort_size", "num_late", "test_loss"), {"cohort_size": 3.0, "test_loss": 2.0})
    '3,,2.0'
    """
    cells, counts = [], _counts(columns)
    for name in columns:
        number = float(values[name]) if name in values else None
        if number is None:
            cells.append("")
        elif name in counts and math.isfinite(number) and number.is_integer():
            cells.append(str(int(number)))
        else:
            cells.append(repr(number))
    return ",".join(cells)


class RoundsCsv:
    """The file while a run goes on. An existing file is continued; say `cut` to go back to a round.

    Before a checkpoint of round r is committed, `sync` must have returned and `written` be at least r.
    """

    def __init__(self, path: str | Path, columns: Sequence[str]) -> None:
        assert tuple(columns[:1]) == ("round",), "the first column is the round"
        self._path = Path(path)
        self._columns = tuple(columns)
        self._waiting: dict[int, tuple[dict[str, float], bool]] = {}
        self._file: io.FileIO | None = None
        self._size = 0
        self.written = 0
        """The last round whose row is in the file."""
        self.cut(None)

    def __enter__(self) -> RoundsCsv:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cut(self, round: int | None) -> None:
        """Keep rows 1..round only (None: all whole rows), atomically; rows after a gap or a torn one go too."""
        rows = self._read()
        keep = 0
        for number, row in enumerate(rows, start=1):
            if row.get("round") != str(number) or (round is not None and number > round):
                break
            keep = number
        self._waiting.clear()
        self.close()
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[:keep])
        atomic_write(self._path, text.getvalue().encode())
        with told_plainly(self._path):
            self._file = open(self._path, "a+b", buffering=0)  # noqa: SIM115 - lives as long as the run
        self._size = len(text.getvalue().encode())
        self.written = keep

    def mend(self) -> bool:
        """Put the file back when it was removed or replaced; return whether that was so.

        Raises
        ------
        DiskError : its rows cannot be had any more: somebody cut the file, or wrote into it.
        """
        assert self._file is not None, "the file is closed"
        try:
            ours = os.fstat(self._file.fileno())
            try:
                there = os.stat(self._path)
            except FileNotFoundError:
                there = None
            if ours.st_size != self._size:
                raise DiskError(f"{self._path}: was changed by somebody else while the run went on")
            if there is not None and (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return False
            atomic_write(self._path, os.pread(self._file.fileno(), self._size, 0))
            self._file.close()
            self._file = open(self._path, "a+b", buffering=0)  # noqa: SIM115 - lives as long as the run
        except OSError as error:
            raise unwritable(self._path, error) from error
        return True

    def add(self, round: int, values: Mapping[str, float], *, awaits_evaluation: bool = False) -> None:
        """Take the values of a finished round. Rounds come one after the other."""
        assert round == self.written + len(self._waiting) + 1, f"round {round} does not follow"
        self._waiting[round] = (dict(values), awaits_evaluation)
        self._write()

    def evaluated(self, round: int, values: Mapping[str, float]) -> None:
        """Bring the evaluation that a round awaits. Round 0, the initial model, has no row: nothing happens."""
        if round == 0:
            return
        assert self._waiting.get(round, ({}, False))[1], f"round {round} awaits no evaluation"
        self._waiting[round] = (self._waiting[round][0] | dict(values), False)
        self._write()

    def sync(self) -> None:
        """Make the rows durable."""
        if self._file is not None:
            with told_plainly(self._path):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write what still waits, evaluated or not, and close the file. Closing twice is allowed."""
        if self._file is not None:
            self._waiting = {round: (values, False) for round, (values, _) in self._waiting.items()}
            self._write()
            self._file.close()
            self._file = None

    def _write(self) -> None:
        assert self._file is not None, "the file is closed"
        lines = []
        while (found := self._waiting.get(self.written + 1)) is not None and not found[1]:
            self.written += 1
            del self._waiting[self.written]
            values = found[0] | {"round": self.written}
            lines.append(line(self._columns, values))
        if lines:
            left = memoryview(("\n".join(lines) + "\n").encode())
            self._size += len(left)
            try:
                while left:  # a full disk takes a part and refuses only the next write
                    left = left[self._file.write(left) :]
            except OSError as error:
                raise unwritable(self._path, error) from error

    def _read(self) -> list[dict[str, str]]:
        with told_plainly(self._path):
            return read_rows(self._path)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the whole rows of a file, none when there is no file; what is torn, or no text, is left out."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    rows = []
    try:
        for row in csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])):
            if None not in row and None not in row.values():
                rows.append(row)
    except csv.Error:  # a cell without an end: nothing after it is a row
        pass
    return rows


def whole_rounds(path: Path) -> int:
    """Return after how many rounds, counted from the first without a gap, the file's whole rows end."""
    count = 0
    for count, row in enumerate(read_rows(path), start=1):
        if row.get("round") != str(count):
            return count - 1
    return count
