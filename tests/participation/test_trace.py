"""Traces: half-open windows, the clock of the rounds, and every way in which a file can be wrong."""

from pathlib import Path

import numpy as np
import pytest

from fedsim.core import ScenarioError, World
from fedsim.participation.processes.trace import Trace

HEADER = "client,start_s,end_s\n"


def write(folder: Path, rows: str, header: str = HEADER) -> World:
    (folder / "trace.csv").write_text(header + rows)
    return World(1, 4, folder=str(folder))


def cohorts(world: World, rounds: int, round_s: float = 10, **options: float | bool) -> list[list[int]]:
    process = Trace(file="trace.csv", round_s=round_s, **options).process(world)
    return [process.cohort(r).tolist() for r in range(1, rounds + 1)]


def test_a_client_is_there_when_the_start_of_the_round_lies_in_a_window(tmp_path: Path) -> None:
    world = write(tmp_path, "0,0,25\n2,10,11\n2,30,40\n")
    assert cohorts(world, 4) == [[0], [0, 2], [0], [2]]


def test_windows_hold_their_start_and_not_their_end(tmp_path: Path) -> None:
    world = write(tmp_path, "1,10,20\n3,0,40\n")
    assert cohorts(world, 3) == [[3], [1, 3], [3]]


def test_windows_that_touch_are_one(tmp_path: Path) -> None:
    world = write(tmp_path, "1,0,10\n1,10,20\n1,20,30\n3,0,40\n")
    assert cohorts(world, 4) == [[1, 3], [1, 3], [1, 3], [3]]


def test_windows_that_overlap_or_lie_inside_each_other_are_one(tmp_path: Path) -> None:
    world = write(tmp_path, "1,0,35\n1,5,8\n1,6,12\n3,0,40\n")
    assert cohorts(world, 4) == [[1, 3], [1, 3], [1, 3], [1, 3]]


def test_the_order_of_lines_and_columns_does_not_matter(tmp_path: Path) -> None:
    world = write(tmp_path, "25,3,10\n5,1,0\n 30 ,0, 20\n\n40,0,30\n", header="\ufeffend_s, client ,start_s\n")
    assert cohorts(world, 4) == [[1], [3], [0, 3], [0]]


def test_a_trace_starts_again_after_its_last_window(tmp_path: Path) -> None:
    world = write(tmp_path, "0,0,10\n1,10,20\n")
    assert cohorts(world, 5) == [[0], [1], [0], [1], [0]]


def test_the_length_of_a_cycle_can_be_given(tmp_path: Path) -> None:
    world = write(tmp_path, "0,0,10\n1,10,20\n")
    assert cohorts(world, 5, length_s=30) == [[0], [1], [], [0], [1]]


def test_without_cycle_nobody_comes_after_the_end(tmp_path: Path) -> None:
    world = write(tmp_path, "0,0,10\n1,10,20\n")
    assert cohorts(world, 4, cycle=False) == [[0], [1], [], []]


def test_the_first_round_may_start_later_in_the_trace(tmp_path: Path) -> None:
    world = write(tmp_path, "0,0,10\n1,10,20\n")
    assert cohorts(world, 2, offset_s=10) == [[1], [0]]


def test_a_trace_does_not_say_probabilities(tmp_path: Path) -> None:
    assert Trace(file="trace.csv", round_s=1).process(write(tmp_path, "0,0,10\n")).probabilities is None


def test_bisection_agrees_with_looking_at_every_window(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    starts = rng.uniform(0, 900, 300).round(2)
    lengths = rng.uniform(0.5, 40, 300).round(2)
    owners = rng.integers(0, 4, 300)
    rows = "".join(f"{c},{s},{s + n}\n" for c, s, n in zip(owners, starts, lengths, strict=True))
    process = Trace(file="trace.csv", round_s=7.3, cycle=False).process(write(tmp_path, rows))
    for round in range(1, 140):
        now = (round - 1) * 7.3
        there = sorted({int(c) for c, s, n in zip(owners, starts, lengths, strict=True) if s <= now < s + n})
        assert process.cohort(round).tolist() == there


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("0,0,10\n4,0,10\n", "trace.csv:3:1: client: 4 does not exist (clients are numbered 0 to 3)"),
        ("-1,0,10\n", "trace.csv:2:1: client: -1 does not exist"),
        ("0.5,0,10\n", "trace.csv:2:1: client: 0.5 does not exist"),
        ("0,-5,10\n", "trace.csv:2:1: start_s: must be at least 0, got -5"),
        ("0,nan,10\n", "trace.csv:2:3: start_s: must be a finite number, got 'nan'"),
        ("0,0,inf\n", "trace.csv:2:5: end_s: must be a finite number, got 'inf'"),
        ("0,zero,10\n", "trace.csv:2:3: start_s: must be a finite number, got 'zero'"),
        ("0,,10\n", "trace.csv:2:3: start_s: must be a finite number, got ''"),
        ("\n0,0,10\n\n0,10,10\n", "trace.csv:5:1: end_s: must come after start_s (10), got 10"),
        ("0,20,10\n", "trace.csv:2:1: end_s: must come after start_s (20), got 10"),
        ("0,1\n", "trace.csv:2:1: has 2 fields instead of 3"),
        ("0\n", "trace.csv:2:1: has 1 fields instead of 3"),
        ("0,1,2,3\n", "trace.csv:2:1: has 4 fields instead of 3"),
        ("", "trace.csv:1:1: has no rows below its first line"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, rows: str, said: str) -> None:
    world = write(tmp_path, rows)
    with pytest.raises(ScenarioError) as error:
        Trace(file="trace.csv", round_s=1).process(world)
    assert said in str(error.value)


def test_every_wrong_line_is_named_at_once(tmp_path: Path) -> None:
    world = write(tmp_path, "9,0,1\n0,5,1\n1,-1,3\n")
    with pytest.raises(ScenarioError) as error:
        Trace(file="trace.csv", round_s=1).process(world)
    assert [problem.line for problem in error.value.problems] == [2, 3, 4]


def test_a_file_full_of_errors_names_the_first_and_counts_the_rest(tmp_path: Path) -> None:
    world = write(tmp_path, "9,0,1\n" * 500)
    with pytest.raises(ScenarioError) as error:
        Trace(file="trace.csv", round_s=1).process(world)
    assert len(error.value.problems) == 21
    assert "... and 480 more" in str(error.value)


def test_a_window_beyond_the_given_length_is_refused(tmp_path: Path) -> None:
    world = write(tmp_path, "0,0,10\n0,20,40\n")
    with pytest.raises(ScenarioError, match=r"trace\.csv:3:1: end_s: lies beyond length_s \(30\), got 40"):
        Trace(file="trace.csv", round_s=1, length_s=30).process(world)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "trace.csv:1:1: is empty; the first line must be client,start_s,end_s"),
        (b"\n \n", "trace.csv:1:1: is empty"),
        (b"0,0,10\n", "trace.csv:1:1: the first line must be client,start_s,end_s, got '0,0,10'"),
        (b"client,start,end\n0,0,1\n", "the first line must be client,start_s,end_s"),
        (b"\xff\xfe\x00\x01", "is not a text file"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "trace.csv").write_bytes(content)
    with pytest.raises(ScenarioError) as error:
        Trace(file="trace.csv", round_s=1).process(World(1, 4, folder=str(tmp_path)))
    assert said in str(error.value)


@pytest.mark.parametrize("file", ["missing.csv", "."])
def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path, file: str) -> None:
    problems = list(Trace(file=file, round_s=1).problems_in(World(1, 4, folder=str(tmp_path))))
    assert [key for key, _ in problems] == ["file"]
    assert "cannot be read" in problems[0][1]
