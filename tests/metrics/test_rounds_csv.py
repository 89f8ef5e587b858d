"""rounds.csv: one row per round, in order, flushed each round, cut back on resume."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from fedsim.core import DiskError
from fedsim.metrics import columns
from fedsim.metrics.rounds_csv import RoundsCsv

COLUMNS = columns(["cohort_size", "train_loss", "test_loss"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rounds.csv"


def rows(path: Path) -> list[str]:
    return path.read_text().splitlines()


class Opening(Protocol):
    def __call__(self, rounds: int = 0, columns: tuple[str, ...] = COLUMNS) -> RoundsCsv: ...


@pytest.fixture
def opened(path: Path) -> Iterator[Opening]:
    """Open the file, tell it some rounds, and close it after the test."""
    with ExitStack() as stack:

        def opening(rounds: int = 0, columns: tuple[str, ...] = COLUMNS) -> RoundsCsv:
            return fill(stack.enter_context(RoundsCsv(path, columns)), rounds)

        yield opening


def fill(file: RoundsCsv, rounds: int) -> RoundsCsv:
    for r in range(1, rounds + 1):
        file.add(r, {"cohort_size": r, "train_loss": 1 / r})
    return file


def test_the_header_is_there_before_round_1(opened: Opening, path: Path) -> None:
    opened()
    assert rows(path) == ["round,cohort_size,train_loss,test_loss"]


def test_a_row_can_be_read_as_soon_as_its_round_is_over(opened: Opening, path: Path) -> None:
    file = opened(1)
    assert rows(path)[1:] == ["1,1,1.0,"]
    file.add(2, {"cohort_size": 7.0, "train_loss": 0.1 + 0.2, "test_loss": 1e-7, "params_norm": 3.0})
    assert rows(path)[2:] == ["2,7,0.30000000000000004,1e-07"]


def test_a_round_waits_for_its_evaluation_and_later_ones_wait_behind_it(opened: Opening, path: Path) -> None:
    file = opened()
    file.add(1, {"train_loss": 1.0}, awaits_evaluation=True)
    file.add(2, {"train_loss": 2.0})
    assert (rows(path)[1:], file.written) == ([], 0)
    file.evaluated(1, {"test_loss": 9.0})
    assert (rows(path)[1:], file.written) == (["1,,1.0,9.0", "2,,2.0,"], 2)


def test_the_evaluation_of_the_initial_model_has_no_row(opened: Opening, path: Path) -> None:
    file = opened(1)
    file.evaluated(0, {"test_loss": 9.0})
    assert len(rows(path)) == 2


def test_closing_writes_what_still_waits(opened: Opening, path: Path) -> None:
    file = opened()
    file.add(1, {"train_loss": 1.0}, awaits_evaluation=True)
    file.close()
    file.close()
    assert rows(path)[1:] == ["1,,1.0,"]


def test_a_round_out_of_order_is_our_mistake(opened: Opening, path: Path) -> None:
    file = opened(1)
    with pytest.raises(AssertionError, match="does not follow"):
        file.add(3, {})


def test_an_evaluation_that_nobody_awaits_is_our_mistake(opened: Opening, path: Path) -> None:
    file = opened(1)
    with pytest.raises(AssertionError, match="awaits no evaluation"):
        file.evaluated(1, {"test_loss": 1.0})


def test_cut_keeps_rounds_up_to_the_checkpoint_and_the_run_goes_on(opened: Opening, path: Path) -> None:
    opened(4).close()
    file = opened()
    assert file.written == 4
    file.cut(2)
    assert (file.written, len(rows(path))) == (2, 3)
    file.add(3, {"train_loss": 0.5})
    assert rows(path)[1:] == ["1,1,1.0,", "2,2,0.5,", "3,,0.5,"]


def test_cut_forgets_what_waits(opened: Opening, path: Path) -> None:
    file = opened(2)
    file.add(3, {"train_loss": 1.0}, awaits_evaluation=True)
    file.cut(2)
    file.add(3, {"train_loss": 4.0})
    assert rows(path)[3:] == ["3,,4.0,"]


def test_a_resumed_run_has_the_same_bytes_as_an_undisturbed_one(opened: Opening, path: Path, tmp_path: Path) -> None:
    opened(3).close()
    file = opened()
    file.cut(1)
    for r in (2, 3):
        file.add(r, {"cohort_size": r, "train_loss": 1 / r})
    with RoundsCsv(tmp_path / "undisturbed.csv", COLUMNS) as undisturbed:
        fill(undisturbed, 3)
    assert path.read_bytes() == (tmp_path / "undisturbed.csv").read_bytes()


@pytest.mark.parametrize("tail", ["3,3", "3,3,0.3", "3,3,0.3,\x00", "9,3,0.3,\n", "3,3,0.3\n", "garbage\n"])
def test_a_torn_or_strange_last_row_is_dropped(opened: Opening, path: Path, tail: str) -> None:
    opened(2).close()
    with path.open("a") as file:
        file.write(tail)
    assert opened().written == 2
    assert rows(path)[1:] == ["1,1,1.0,", "2,2,0.5,"]


def test_more_columns_after_a_resume_leave_the_old_rows_empty_there(opened: Opening, path: Path) -> None:
    opened(1).close()
    opened(columns=(*COLUMNS, "distance"))
    assert rows(path) == ["round,cohort_size,train_loss,test_loss,distance", "1,1,1.0,,"]


def test_a_full_disk_is_said_plainly() -> None:
    file = RoundsCsv.__new__(RoundsCsv)
    file._path, file._columns, file._waiting, file.written = Path("/dev/full"), COLUMNS, {}, 0
    file._size = 0
    file._file = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
    with pytest.raises(DiskError, match=r"/dev/full: cannot be written: No space left on device \(\d+ bytes free"):
        file.add(1, {})
    file._file.close()


def test_a_folder_in_place_of_the_file_is_said_plainly(opened: Opening, path: Path) -> None:
    path.mkdir()
    with pytest.raises(DiskError, match="Is a directory"):
        opened()
