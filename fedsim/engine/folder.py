"""The run folder: what a run leaves behind, locked while somebody writes into it."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import DiskError, LockedError, ScenarioError
from fedsim.core.contracts import Parameters
from fedsim.core.files import atomic_write, told_plainly
from fedsim.core.inputs import place_of
from fedsim.core.state import save_arrays

SCENARIO, ROUNDS, PARAMS, SUMMARY = "scenario.yaml", "rounds.csv", "params.npz", "summary.json"
LOCK, NOTE = ".lock", ".run.json"
OWN = (SCENARIO, ROUNDS, PARAMS, SUMMARY, LOCK, NOTE, "ray.log", "spool.jsonl", "checkpoints", "memory", "tensorboard")


class RunFolder:
    """A folder with a run in it, held by this process until `release`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with told_plainly(path):
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "another process"
            os.close(self._lock)
            raise LockedError(f"{path}: locked by process {holder}, which is writing a run there") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let go of the folder."""
        if self.held():
            (self.path / LOCK).unlink(missing_ok=True)
        os.close(self._lock)

    def held(self) -> bool:
        """Return whether the lock in the folder is still this one: two calls to the system, for every round."""
        try:
            there = os.stat(self.path / LOCK)
        except OSError:
            return False
        ours = os.fstat(self._lock)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def check_held(self) -> None:
        """Raise when the folder is no longer this process's to write into.

        Raises
        ------
        DiskError : the folder was removed or moved away.
        LockedError : the lock was removed or replaced; another process may be writing.
        """
        if self.held():
            return
        if not self.path.is_dir():
            raise DiskError(f"{self.path}: the run's folder was removed while the run went on")
        raise LockedError(f"{self.path / LOCK}: was removed or replaced while the run went on; nothing more is written")

    def file(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.path / name

    def write_params(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write params.npz: the final parameters by name."""
        buffer = io.BytesIO()
        save_arrays(buffer, {name: np.ascontiguousarray(value) for name, value in arrays.items()})
        atomic_write(self.file(PARAMS), buffer.getvalue())


def params_sha256(params: Parameters) -> str:
    """Return the sha256 of the parameters as little-endian float32."""
    return hashlib.sha256(np.ascontiguousarray(params, dtype="<f4").tobytes()).hexdigest()


def create(out: str | Path | None, default: str, *, overwrite: bool = False) -> RunFolder:
    """Make and lock the folder of a new run.

    Without `out` it is `runs/<default>`, or with -2, -3, ... when that is taken. A given folder that is taken is
    refused, unless `overwrite` is said and what is there is a run.
    """
    if out is None:
        with told_plainly(Path("runs")):
            Path("runs").mkdir(exist_ok=True)
            number = 1
            while True:
                path = Path("runs") / (default if number == 1 else f"{default}-{number}")
                try:
                    path.mkdir()
                except FileExistsError:
                    number += 1
                else:
                    return RunFolder(path)
    path = place_of(out)
    if path.exists() and not path.is_dir():
        raise ScenarioError(f"--out {path}: is a file, not a folder")
    taken = path.is_dir() and any(path.iterdir())
    if taken and not overwrite:
        raise ScenarioError(f"--out {path}: the folder is not empty; choose another, or say --overwrite")
    if taken and not (path / SCENARIO).exists():
        raise ScenarioError(f"--out {path}: --overwrite replaces runs only, and no run is in this folder")
    with told_plainly(path):
        path.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(path)
    for name in OWN:
        if name != LOCK:
            _remove(path / name)
    return folder


def reopen(path: str | Path) -> RunFolder:
    """Lock the folder of a run that began earlier."""
    folder = place_of(path)
    if not (folder / SCENARIO).is_file():
        raise ScenarioError(f"{folder}: no run is in this folder ({SCENARIO} is missing)")
    return RunFolder(folder)


def _remove(path: Path) -> None:
    with told_plainly(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
