"""Reading the files that datasets come in, with errors that say what is expected where."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fedsim.core import ScenarioError


def missing(folder: Path, files: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield a message for each file that is not there; `files` maps what it is to the names that would do."""
    if not folder.is_dir():
        expected = ", ".join(names[0] for names in files.values())
        kind = "is a file, not a folder" if folder.exists() else "is not there"
        yield f"{folder} {kind}; expected a folder with {expected}"
        return
    for what, names in files.items():
        if not any((folder / name).is_file() for name in names):
            yield f"{what} not found in {folder}: expected {' or '.join(names[:2])}"


def find_all(folder: Path, files: Mapping[str, Sequence[str]]) -> list[Path]:
    """Return where each of `files` is; raises ScenarioError naming everything that is expected and not there."""
    problems = [f"data.path: {message}" for message in missing(folder, files)]
    if problems:
        raise ScenarioError("\n".join(problems))
    return [next(folder / name for name in names if (folder / name).is_file()) for names in files.values()]


def read(path: Path) -> bytes:
    """Return a file's bytes, unpacked when its name ends in .gz."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        problem = getattr(error, "strerror", None) or error
        raise ScenarioError(f"data.path: {path} cannot be read, or is damaged: {problem}") from error
