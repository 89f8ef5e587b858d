"""The schedule as an artefact: an .npz file of rounds x clients bits, written and read in bounded memory.

Arrays: `matrix` (rounds, ceil(clients / 8)) uint8, one row for each round 1..R, numpy.packbits along the clients;
`rounds` and `clients`, int64 numbers; `hash`, the sha256 of the bytes of `matrix` as 64 hexadecimal digits.
The arrays are stored, not deflated, so that a round is read from the disk without the others; a file that
numpy.savez_compressed wrote is read as well, its matrix then into memory.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from fedsim.core import Process, ScenarioError
from fedsim.core.config.inputs import Signature, signature
from fedsim.core.errors import InputsChangedError
from fedsim.core.system.files import TEMPORARY, sync_folder, told_plainly
from fedsim.participation.schedules.hash import ScheduleHash, packed_row

_BLOCK_BYTES = 4 * 2**20
# zipfile raises NotImplementedError for a compression that it does not know
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True, eq=False)
class SavedSchedule:
    """A schedule file that passed every check. `matrix` may be a view of the file, which had this `signature` then."""

    rounds: int
    clients: int
    hash: str
    matrix: npt.NDArray[np.uint8]
    path: Path
    signature: Signature

    def row(self, round: int) -> npt.NDArray[np.uint8]:
        """Return the bits of a round, cycled; they are read from the file now.

        Raises
        ------
        InputsChangedError : the file was written to since it was checked. One that took its name changes nothing.
        """
        if isinstance(self.matrix, np.memmap) and self._written():
            raise InputsChangedError(f"participation.file: {self.path}: was written to while a run was reading it")
        return np.asarray(self.matrix[(round - 1) % self.rounds])

    def _written(self) -> bool:
        try:
            size, changed, _, inode = signature(os.fspath(self.path))
        except OSError:  # removed: what is open here stays readable
            return False
        return inode == self.signature[3] and (size, changed) != self.signature[:2]


def write_schedule(path: str | Path, process: Process, rounds: int) -> str:
    """Write rounds 1..`rounds` of a process and return the hash; the file appears whole or not at all."""
    path = Path(path)
    clients = process.num_clients
    shape = (rounds, (clients + 7) // 8)
    running = ScheduleHash(clients)
    with _replaced(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(_entry("matrix"), "w", force_zip64=True) as member:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(member, header)
            for round in range(1, rounds + 1):
                cohort = process.cohort(round)
                running.update(cohort)
                member.write(packed_row(cohort, clients).tobytes())
        scalars = {"rounds": np.int64(rounds), "clients": np.int64(clients), "hash": np.str_(running.hexdigest())}
        for name, value in scalars.items():
            with archive.open(_entry(name), "w") as member:
                np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)
    return running.hexdigest()


def read_schedule(path: str | Path) -> SavedSchedule:
    """Read and check a schedule file: raises ScenarioError that names the file and what is wrong with it."""
    path = Path(path)
    if path.is_dir():
        raise ScenarioError(f"{path}: is a folder, not a schedule file")
    try:
        before = signature(os.fspath(path))
        with zipfile.ZipFile(path) as archive:
            return _checked(path, archive, before)
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror or error}") from None
    except _UNREADABLE as error:
        raise ScenarioError(f"{path}: truncated, corrupted or not a schedule file: {error}") from None


def _checked(path: Path, archive: zipfile.ZipFile, before: Signature) -> SavedSchedule:
    missing = sorted({"matrix.npy", "rounds.npy", "clients.npy", "hash.npy"} - set(archive.namelist()))
    if missing:
        names = ", ".join(name.removesuffix(".npy") for name in missing)
        raise ScenarioError(f"{path}: not a schedule file: lacks {names} (it needs matrix, rounds, clients, hash)")
    rounds, clients = (int(_scalar(archive, name)) for name in ("rounds", "clients"))
    if rounds < 1 or clients < 1:
        raise ScenarioError(f"{path}: rounds and clients must be at least 1, got {rounds} and {clients}")
    with archive.open("matrix.npy") as member:
        _check_header(path, member, (rounds, (clients + 7) // 8))
        start = member.tell()
        digest, unused = sha256(), 0
        row_bytes = (clients + 7) // 8
        for block in _blocks(member, rounds, row_bytes):
            digest.update(block.tobytes())
            unused |= int(np.bitwise_or.reduce(block[:, -1])) & (0xFF >> ((clients - 1) % 8 + 1))
    if digest.hexdigest() != str(_scalar(archive, "hash")):
        raise ScenarioError(f"{path}: corrupted: the matrix does not have the hash that is written in the file")
    if unused:
        raise ScenarioError(f"{path}: matrix has bits beyond client {clients - 1}")
    matrix = _matrix(path, archive, start, (rounds, row_bytes))
    return SavedSchedule(rounds, clients, digest.hexdigest(), matrix, path, before)


def _scalar(archive: zipfile.ZipFile, name: str) -> Any:
    if archive.getinfo(f"{name}.npy").file_size > 4096:
        raise ValueError(f"{name} is not a single value")
    with archive.open(f"{name}.npy") as member:
        value = np.lib.format.read_array(member, allow_pickle=False)
    if value.size != 1 or value.dtype.kind not in ("U" if name == "hash" else "iu"):
        raise ValueError(f"{name} is not a single {'text' if name == 'hash' else 'whole number'}")
    return value.reshape(-1)[0]


def _check_header(path: Path, member: IO[bytes], expected: tuple[int, int]) -> None:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(member)
    if shape != expected or dtype != np.uint8:
        wanted = f"{expected[0]} x {expected[1]} of uint8 for {expected[0]} rounds (ceil(clients / 8) bytes each)"
        raise ScenarioError(f"{path}: matrix has shape {shape} of {dtype}, expected {wanted}")
    if fortran and min(shape) > 1:
        raise ScenarioError(f"{path}: matrix is stored column by column; store it row by row (numpy order C)")


def _blocks(member: IO[bytes], rounds: int, row_bytes: int) -> Iterator[npt.NDArray[np.uint8]]:
    rows = max(1, _BLOCK_BYTES // row_bytes)
    for first in range(0, rounds, rows):
        size = min(rows, rounds - first) * row_bytes
        data = member.read(size)
        if len(data) < size:
            raise EOFError("the matrix ends early")
        yield np.frombuffer(data, np.uint8).reshape(-1, row_bytes)
    if member.read(1):
        raise ValueError("the matrix is longer than it says")


def _matrix(path: Path, archive: zipfile.ZipFile, start: int, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    entry = archive.getinfo("matrix.npy")
    if entry.compress_type != zipfile.ZIP_STORED:
        return np.frombuffer(archive.read(entry)[start:], np.uint8).reshape(shape)
    with path.open("rb") as stream:
        stream.seek(entry.header_offset + 26)  # the local header: 30 bytes, then the name and an extra field
        lengths = np.frombuffer(stream.read(4), "<u2")
    return np.memmap(path, np.uint8, "r", entry.header_offset + 30 + int(lengths.sum()) + start, shape)


def _entry(name: str) -> zipfile.ZipInfo:
    """Return a member with a fixed date, so that the same schedule is the same file."""
    return zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))


@contextmanager
def _replaced(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside `path` that takes its name when everything went well, and is removed otherwise."""
    if path.is_dir():
        raise ScenarioError(f"--out {path}: is a folder; name a file, e.g. {path / 'schedule.npz'}")
    partial = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    with told_plainly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
