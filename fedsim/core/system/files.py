"""Files that are either whole or not there: write under a temporary name, sync, rename once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedsim.core.errors import DiskError

TEMPORARY = ".tmp"
"""Ending of every temporary name; what carries it is never a result."""


@contextmanager
def told_plainly(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal inside this block into a `DiskError`."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> DiskError:
    """Return what an operating system's refusal to write means: the path, the reason and the room left."""
    return DiskError(f"{path}: cannot be written: {error.strerror or error} ({_room(path)})")


def _room(path: Path) -> str:
    folder = next((place for place in (path, *path.parents) if place.is_dir()), Path("/"))
    try:
        return f"{shutil.disk_usage(folder).free} bytes free in {folder}"
    except OSError:
        return f"{folder} does not say how much is free"


def sync_folder(folder: Path) -> None:
    """Make the names inside a folder durable (files are synced one by one)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def atomic_write(path: str | Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old content or the new, never a part.

    Raises `DiskError` when the disk is full or the folder cannot be written; no temporary file is left then.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.name}.{os.getpid()}{TEMPORARY}")
    with told_plainly(final):
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(final.parent)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a fresh temporary folder; on a clean exit every file in it is synced and the folder gets its final name.

    The rename is the commit: before it there is nothing under `path`, after it everything. `path` must not exist.
    Raises `DiskError` when the disk is full or the parent cannot be written; the temporary folder is removed then.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.name}.{os.getpid()}{TEMPORARY}")
    with told_plainly(final):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for folder, _, names in os.walk(temporary):
                for name in names:
                    _sync_file(Path(folder) / name)
                sync_folder(Path(folder))
            os.rename(temporary, final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(final.parent)


def _sync_file(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def remove_temporaries(folder: str | Path) -> list[Path]:
    """Remove what a killed process left under temporary names in a folder that nobody else is writing."""
    found = list(Path(folder).glob(f".*{TEMPORARY}"))
    for item in found:
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink(missing_ok=True)
    return found
