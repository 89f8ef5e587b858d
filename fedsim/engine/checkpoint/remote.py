"""Checkpoints in a place that fsspec knows by its URL: no renames there, so the manifest, written last, commits.

A folder without a manifest is not a checkpoint. Hosts carry their nodes' files there themselves, from whichever
machine they are on, and tell their sha256.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec

from fedsim.core import DiskError, ScenarioError

Digests = dict[str, tuple[str, int]]
"""File name -> sha256 and size."""


@dataclass(frozen=True)
class CheckpointURL:
    """A folder by its URL."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> CheckpointURL:
        return CheckpointURL(f"{self.url.rstrip('/')}/{name}")

    def check(self) -> CheckpointURL:
        """Return itself, when there is such a kind of place.

        Raises
        ------
        ScenarioError : fsspec does not know the protocol, or the package for it is not installed.
        """
        try:
            fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise ScenarioError(f"checkpoint.path: {self.url}: {error}") from error
        return self

    def names(self) -> list[str]:
        """Return the names of all folders inside, ascending."""
        with self._told() as (files, root):
            found = files.ls(root, detail=True) if files.exists(root) else []
            return sorted(
                entry["name"].rstrip("/").rpartition("/")[2] for entry in found if entry["type"] == "directory"
            )

    def has(self, name: str) -> bool:
        """Return whether there is such a file."""
        with self._told() as (files, root):
            return bool(files.exists(f"{root}/{name}"))

    def upload(self, folder: Path) -> Digests:
        """Copy the files of a local folder here."""
        digests = digests_of(folder)
        with self._told() as (files, root):
            files.makedirs(root, exist_ok=True)
            for name in digests:
                files.put_file(str(folder / name), f"{root}/{name}")
        return digests

    def download(self, folder: Path, stem: str = "") -> None:
        """Copy the files whose names begin with `stem` into a local folder."""
        with self._told() as (files, root):
            for path in files.ls(root, detail=False):
                name = path.rpartition("/")[2]
                if name.startswith(stem):
                    files.get_file(path, str(folder / name))

    def remove(self, first: str | None = None) -> None:
        """Remove the folder with all that is in it; the file `first` before any other."""
        with self._told() as (files, root):
            if first is not None and files.exists(f"{root}/{first}"):
                files.rm_file(f"{root}/{first}")
            if files.exists(root):
                files.rm(root, recursive=True)

    @contextmanager
    def _told(self) -> Iterator[tuple[Any, str]]:
        try:
            yield fsspec.core.url_to_fs(self.url)
        except Exception as error:  # whatever a store's own library raises
            raise DiskError(f"{self.url}: cannot be reached or written: {error}") from error


def digests_of(folder: Path) -> Digests:
    """Return sha256 and size of every file in a folder."""
    found: Digests = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            found[path.name] = (file_digest(file, "sha256").hexdigest(), path.stat().st_size)
    return found


def called(node: Any, method: str, arguments: Sequence[Any]) -> Any:
    """Call a method of a node; `save` and `restore` work on a local folder where they are told of a remote one."""
    if not arguments or not isinstance(arguments[0], CheckpointURL):
        return getattr(node, method)(*arguments)
    place, *rest = arguments
    with TemporaryDirectory(prefix="fedsim-") as name:
        if method == "restore":
            place.download(Path(name), f"node-{node.index}.")
            node.restore(Path(name), *rest)
            return None
        getattr(node, method)(Path(name), *rest)
        return place.upload(Path(name))
