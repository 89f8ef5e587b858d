"""The schedule as an artefact: written, hashed, read back, and refused by name when it is not what it says."""

import tracemalloc
import zipfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsim.core import DiskError, ScenarioError, World
from fedsim.participation import ScheduleHash, hash_so_far, schedule_hash
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.schedule import Schedule
from fedsim.participation.schedules.file import read_schedule, write_schedule

PROCESS = Bernoulli(probabilities=0.3).process(World(1, 21))
MATRIX = np.stack([np.isin(np.arange(21), PROCESS.cohort(r)) for r in range(1, 9)])
PACKED = np.packbits(MATRIX, axis=1)
HASH = sha256(PACKED.tobytes()).hexdigest()


def parts(**changes: Any) -> dict[str, Any]:
    return {"matrix": PACKED, "rounds": 8, "clients": 21, "hash": HASH} | changes


def test_the_hash_is_that_of_the_packed_rows() -> None:
    assert schedule_hash(PROCESS, 8) == HASH


def test_the_hash_goes_on_from_any_round() -> None:
    running = hash_so_far(PROCESS, 3)
    assert running.hexdigest() == schedule_hash(PROCESS, 3)
    for round in range(4, 9):
        running.update(PROCESS.cohort(round))
    assert running.hexdigest() == HASH


def test_the_hash_of_no_round_is_that_of_nothing() -> None:
    assert ScheduleHash(5).hexdigest() == sha256(b"").hexdigest()


def test_a_schedule_file_holds_matrix_rounds_clients_and_hash(tmp_path: Path) -> None:
    assert write_schedule(tmp_path / "s.npz", PROCESS, 8) == HASH
    with np.load(tmp_path / "s.npz", allow_pickle=False) as saved:
        assert sorted(saved.files) == ["clients", "hash", "matrix", "rounds"]
        np.testing.assert_array_equal(saved["matrix"], PACKED)
        assert saved["matrix"].dtype == np.uint8
        assert (int(saved["rounds"]), int(saved["clients"]), str(saved["hash"])) == (8, 21, HASH)


def test_the_same_schedule_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_schedule(tmp_path / name, PROCESS, 8)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_schedule_written_and_read_back_is_replayed_and_cycled(tmp_path: Path) -> None:
    write_schedule(tmp_path / "s.npz", PROCESS, 8)
    replayed = Schedule(file="s.npz").process(World(99, 21, folder=str(tmp_path)))
    for round in range(1, 25):
        assert replayed.cohort(round).tolist() == PROCESS.cohort((round - 1) % 8 + 1).tolist()
    assert schedule_hash(replayed, 8) == HASH
    assert replayed.probabilities is None


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_matrix_saved_by_numpy_is_a_schedule(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "s.npz", **parts())
    replayed = Schedule(file="s.npz").process(World(1, 21, folder=str(tmp_path)))
    assert [replayed.cohort(r).tolist() for r in range(1, 9)] == [PROCESS.cohort(r).tolist() for r in range(1, 9)]


def test_writing_takes_no_more_memory_for_more_rounds(tmp_path: Path) -> None:
    process = Bernoulli(probabilities=0.01).process(World(1, 40_000))
    peaks = []
    for rounds in (10, 200):  # 50 kB and 1 MB of bits
        tracemalloc.start()
        write_schedule(tmp_path / "s.npz", process, rounds)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000


def test_replaying_reads_one_row_at_a_time(tmp_path: Path) -> None:
    write_schedule(tmp_path / "s.npz", PROCESS, 8)
    assert isinstance(read_schedule(tmp_path / "s.npz").matrix, np.memmap)


class Broken:
    """A process that fails in round 3."""

    num_clients = 21
    probabilities = None

    def cohort(self, round: int) -> np.ndarray:
        if round == 3:
            raise RuntimeError("no round 3")
        return np.arange(2)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_schedule(tmp_path / "s.npz", PROCESS, 8)
    with pytest.raises(RuntimeError, match="no round 3"):
        write_schedule(tmp_path / "s.npz", Broken(), 8)
    assert [path.name for path in tmp_path.iterdir()] == ["s.npz"]
    assert read_schedule(tmp_path / "s.npz").hash == HASH


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match=r"file/s\.npz: cannot be written"):
        write_schedule(tmp_path / "file" / "s.npz", PROCESS, 8)


def test_a_file_cut_off_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    write_schedule(tmp_path / "s.npz", PROCESS, 8)
    content = (tmp_path / "s.npz").read_bytes()
    for length in range(0, len(content), 37):
        (tmp_path / "s.npz").write_bytes(content[:length])
        with pytest.raises(ScenarioError, match=r"participation\.file: .*s\.npz: truncated, corrupted or not"):
            Schedule(file="s.npz").process(World(1, 21, folder=str(tmp_path)))


def test_a_flipped_bit_in_the_rows_is_refused_by_name(tmp_path: Path) -> None:
    write_schedule(tmp_path / "s.npz", PROCESS, 8)
    content = bytearray((tmp_path / "s.npz").read_bytes())
    place = bytes(content).index(PACKED.tobytes())
    for offset in range(PACKED.size):
        flipped = content.copy()
        flipped[place + offset] ^= 4
        (tmp_path / "s.npz").write_bytes(flipped)
        with pytest.raises(ScenarioError, match=r"s\.npz: .*corrupted"):
            read_schedule(tmp_path / "s.npz")


def test_no_flipped_byte_anywhere_is_read_as_another_schedule(tmp_path: Path) -> None:
    write_schedule(tmp_path / "s.npz", PROCESS, 8)
    content = bytearray((tmp_path / "s.npz").read_bytes())
    for place in range(0, len(content), 5):
        flipped = content.copy()
        flipped[place] ^= 0xFF
        (tmp_path / "s.npz").write_bytes(flipped)
        with suppress(ScenarioError):  # but a date or an attribute of the archive changes nothing
            np.testing.assert_array_equal(read_schedule(tmp_path / "s.npz").matrix, PACKED)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"matrix": PACKED[:7]}, "matrix has shape (7, 3) of uint8, expected 8 x 3 of uint8"),
        ({"matrix": MATRIX}, "matrix has shape (8, 21) of bool"),
        ({"matrix": PACKED.astype(np.int64)}, "of int64, expected"),
        ({"clients": 30}, "matrix has shape (8, 3) of uint8, expected 8 x 4"),
        ({"rounds": 0}, "must be at least 1, got 0"),
        ({"hash": "0" * 64}, "corrupted: the matrix does not have the hash"),
        ({"hash": 5}, "hash is not a single text"),
        ({"rounds": np.arange(8)}, "rounds is not a single whole number"),
        ({"clients": 21.0}, "clients is not a single whole number"),
        ({"matrix": np.asfortranarray(PACKED)}, "store it row by row"),
        (
            {"matrix": PACKED | np.uint8(1), "hash": sha256((PACKED | np.uint8(1)).tobytes()).hexdigest()},
            "matrix has bits beyond client 20",
        ),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / "s.npz", **parts(**changes))
    with pytest.raises(ScenarioError) as error:
        read_schedule(tmp_path / "s.npz")
    assert str(tmp_path / "s.npz") in str(error.value)
    assert said in str(error.value)


def test_a_file_that_lacks_an_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", matrix=PACKED, rounds=8)
    with pytest.raises(ScenarioError, match="lacks clients, hash"):
        read_schedule(tmp_path / "s.npz")


def test_a_file_with_pickled_objects_is_refused_unread(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", **parts(hash=np.array([{"a": 1}], dtype=object)))
    with pytest.raises(ScenarioError, match=r"s\.npz: truncated, corrupted or not a schedule file"):
        read_schedule(tmp_path / "s.npz")


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.npz", "w") as archive:
        for name in parts():
            archive.writestr(f"{name}.npy", "hello")
    with pytest.raises(ScenarioError, match=r"s\.npz: truncated, corrupted or not a schedule file"):
        read_schedule(tmp_path / "s.npz")


@pytest.mark.parametrize(("name", "said"), [("missing.npz", "cannot be read: No such file"), (".", "is a folder")])
def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        Schedule(file=name).process(World(1, 21, folder=str(tmp_path)))


def test_a_schedule_of_another_population_is_refused(tmp_path: Path) -> None:
    write_schedule(tmp_path / "s.npz", PROCESS, 8)
    problems = list(Schedule(file="s.npz").problems_in(World(1, 22, folder=str(tmp_path))))
    assert problems == [("file", f"{tmp_path / 's.npz'}: is for 21 clients, but there are 22")]


@pytest.mark.parametrize("config", [Schedule(), Schedule(cohorts=((0,),), file="s.npz")])
def test_a_schedule_is_typed_or_saved_not_both(config: Schedule) -> None:
    with pytest.raises(ScenarioError, match="give either cohorts or a file"):
        config.process(World(1, 21))
