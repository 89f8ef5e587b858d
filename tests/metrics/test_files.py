"""A file is whole or not there, whatever goes wrong while it is written."""

import os
from pathlib import Path

import pytest

from fedsim.core import DiskError
from fedsim.core.system.files import atomic_folder, atomic_write, remove_temporaries


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refuse(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    atomic_write(tmp_path / "x", b"one")
    atomic_write(str(tmp_path / "x"), b"two")
    assert (names(tmp_path), (tmp_path / "x").read_bytes()) == (["x"], b"two")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    atomic_write(tmp_path / "x", b"old")
    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(DiskError, match=r"x: cannot be written: No space left on device \(\d+ bytes free in "):
        atomic_write(tmp_path / "x", b"new")
    assert (names(tmp_path), (tmp_path / "x").read_bytes()) == (["x"], b"old")


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "x", b"new")
    assert names(tmp_path) == []


def test_a_folder_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "round-1") as folder:
        (folder / "nodes").mkdir()
        (folder / "nodes" / "0").write_bytes(b"h")
        assert not (tmp_path / "round-1").exists()
    assert names(tmp_path) == ["round-1"]
    assert (tmp_path / "round-1" / "nodes" / "0").read_bytes() == b"h"


def test_a_folder_that_failed_is_not_there(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic_folder(tmp_path / "round-1") as folder:
            (folder / "a").write_bytes(b"h")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        write_half()
    assert names(tmp_path) == []


def test_a_folder_that_exists_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "round-1").mkdir()
    (tmp_path / "round-1" / "old").touch()
    with pytest.raises(DiskError, match="round-1"), atomic_folder(tmp_path / "round-1"):
        pass
    assert names(tmp_path / "round-1") == ["old"]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".round-1.77.tmp").mkdir()
    (tmp_path / ".summary.json.77.tmp").touch()
    (tmp_path / "notes.tmp").touch()
    (tmp_path / "round-1").mkdir()
    remove_temporaries(tmp_path)
    assert names(tmp_path) == ["notes.tmp", "round-1"]
