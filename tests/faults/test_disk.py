"""Full disks, folders that cannot be written, files that may not grow: told plainly, and nothing lost that was safe."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedsim.api import read
from fedsim.cli import main
from fedsim.core import DiskError
from fedsim.engine.run.run import execute, resume
from tests.faults.scenes import assert_as_undisturbed, scene, undisturbed

pytestmark = pytest.mark.faults
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@needs_root
@pytest.mark.parametrize("point", ["record", "checkpoint.open", "checkpoint.nodes", "checkpoint.manifest"])
def test_a_disk_that_fills_up_ends_the_run_with_8_and_a_resume_ends_it_as_if_it_had_not(point: str, disk: Path) -> None:
    filler = disk / "filler"

    def fill(here: str, round: int) -> None:
        if (here, round) == (point, 6):
            subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], check=False, capture_output=True)

    with pytest.raises(DiskError) as full:
        execute(read(scene("fedstale"), {}), out=disk / "run", at=fill)
    assert full.value.exit_code == 8
    assert re.search(r"No space left on device \(\d+ bytes free in ", str(full.value))
    assert not list(disk.rglob("*.tmp"))
    filler.unlink()
    with sqlite3.connect(disk / "fedsim.db") as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()
    assert_as_undisturbed(resume(disk / "run"), undisturbed("fedstale"))


@needs_root
def test_a_folder_that_cannot_be_written_is_refused_before_anything_starts(
    disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = disk.parent / "s.yaml"
    file.write_text(json.dumps(scene("fedstale")))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert main(["run", str(file), "--out", str(disk / "run"), "--quiet"]) == 8
    told = capsys.readouterr().err
    assert told.startswith(f"{disk / 'run'}: cannot be written: Read-only file system (")
    assert len(told.splitlines()) == 1


LIMITED = """
import resource, signal, sys
from fedsim.api import read
from fedsim.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(["run", sys.argv[2], "--out", sys.argv[3], "--quiet"]))
"""


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    file, folder = tmp_path / "s.yaml", tmp_path / "run"
    file.write_text(json.dumps(scene("fedstale")))
    command = [sys.executable, "-c", LIMITED, "3000", str(file), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 8, ended.stderr
    assert "cannot be written: File too large (" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert_as_undisturbed(resume(folder), undisturbed("fedstale"))
