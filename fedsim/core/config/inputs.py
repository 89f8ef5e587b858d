"""What a run reads: which fields of a config are paths, where these point, and what the files there hold.

A config marks a field as `InputPath`, and with it says everything: where relative paths start, `~`, and that the
content of the file is part of what the run is. Where the path is a folder, the method `inputs(folder)` names the files
that are read in it, by what they are and not by how they are called.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from stat import S_ISREG
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from fedsim.core.errors import InputsChangedError, ScenarioError

Signature = tuple[int, int, int, int]
"""Size, times of the last change of content and of anything (ns), inode: equal, and the file is the one it was."""

SETTLED_NS = 2_000_000_000
"""A file younger than this may change again without a new time: file systems count in steps of up to two seconds."""
ATTEMPTS = 3


@dataclass(frozen=True)
class Reads:
    """Marks a text field that names what a run reads. `or_name`: it may also be a name of something that is no file."""

    or_name: bool = False


InputPath = Annotated[str, Reads()]
"""A file or folder that a run reads; relative paths start at the scenario's folder."""


@dataclass(frozen=True)
class InputFile:
    """A file that a config names: at which key, as what (a folder has several), and where."""

    key: tuple[str, ...]
    role: str
    path: Path


@dataclass(frozen=True)
class Input:
    """A file that a run reads, and what it holds. `signature` is None while the file is too young to be trusted."""

    key: tuple[str, ...]
    role: str
    path: str
    sha256: str
    signature: Signature | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{'.'.join(self.key)}: {self.path}"


def place_of(path: str | os.PathLike[str], folder: str | os.PathLike[str] = "") -> Path:
    """Return where a path points: `~` is a home folder, and a relative path starts at `folder`.

    >>> str(place_of("a/b.csv", "/data")), str(place_of("/b.csv", "/data"))
    ('/data/a/b.csv', '/b.csv')
    """
    return Path(folder, os.path.expanduser(path))


def reads(annotation: Any) -> Reads | None:
    """Return the mark of a field's type, if it is one of an input.

    >>> reads(InputPath | None), reads(str)
    (Reads(or_name=False), None)
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        return next((mark for mark in marks if isinstance(mark, Reads)), None) or reads(inner)
    if origin in (Union, UnionType):
        return next((mark for mark in map(reads, get_args(annotation)) if mark is not None), None)
    return None


@lru_cache(maxsize=512)
def input_fields(cls: type) -> Mapping[str, Reads]:
    """Return the fields of a config class that name inputs."""
    hints = get_type_hints(cls, include_extras=True)
    marks = {f.name: reads(hints[f.name]) for f in fields(cls)}
    return {name: mark for name, mark in marks.items() if mark is not None}


def files_of(config: Any, folder: str, key: tuple[str, ...] = ()) -> Iterator[InputFile]:
    """Yield every file that a config, or a config inside it, reads."""
    if is_dataclass(config) and not isinstance(config, type):
        marked = input_fields(type(config))
        named: Mapping[str, Mapping[str, Path]] = config.inputs(folder) if hasattr(config, "inputs") else {}
        for one in fields(config):
            value, where = getattr(config, one.name), (*key, one.name)
            if one.name not in marked:
                yield from files_of(value, folder, where)
            elif value is not None:
                found = named.get(one.name, {"": place_of(value, folder)})
                yield from (InputFile(where, role, path) for role, path in found.items())
        for name in named.keys() - marked.keys():  # read without a path in the scenario: data that was fetched
            yield from (InputFile((*key, name), role, path) for role, path in named[name].items())
    elif isinstance(config, Mapping):
        for name, value in config.items():
            yield from files_of(value, folder, (*key, str(name)))
    elif isinstance(config, list | tuple):
        for number, value in enumerate(config):
            if not isinstance(value, int | float | str):
                yield from files_of(value, folder, (*key, str(number)))


def content(file: InputFile, known: Sequence[Input] = ()) -> Input:
    """Return a file with the hash of its content.

    The content is read, unless size, times and inode are those under which it is `known` or was read in this process.

    Raises
    ------
    ScenarioError : it cannot be read, or is being written.
    """
    path = os.path.abspath(file.path)
    try:
        for _ in range(ATTEMPTS):
            now = signature(path)
            before = (one.sha256 for one in known if one.path == path and one.signature == now)
            digest = next(before, None) or (_kept_sha256 if _settled(now) else _sha256)(path, now)
            if signature(path) == now:
                return Input(file.key, file.role, path, digest, now if _settled(now) else None)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScenarioError(f"{'.'.join(file.key)}: {path} cannot be read: {reason}") from error
    raise ScenarioError(f"{'.'.join(file.key)}: {path} is being written; try again when it is whole")


def signature(path: str) -> Signature:
    """Return size, times and inode of a regular file; raises OSError when there is none."""
    found = os.stat(path)
    if not S_ISREG(found.st_mode):
        raise OSError("it is no regular file")
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _settled(found: Signature) -> bool:
    return time.time_ns() - max(found[1], found[2]) > SETTLED_NS


def _sha256(path: str, _: Signature) -> str:
    with open(path, "rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


_kept_sha256 = lru_cache(maxsize=1024)(_sha256)


def hold(before: Sequence[Input], now: Sequence[Input] | None = None, since: str = "while it was read") -> None:
    """Raise InputsChangedError unless all files hold what they held; None looks at them now."""
    lines = changes(before, renewed(before) if now is None else now)
    if lines:
        raise InputsChangedError("\n".join(f"{line}; it changed {since}" for line in lines))


def renewed(inputs: Sequence[Input]) -> tuple[Input, ...]:
    """Return the same files as they are now; raises ScenarioError for one that cannot be read any more."""
    return tuple(content(InputFile(one.key, one.role, Path(one.path)), (one,)) for one in inputs)


def changes(before: Sequence[Input], now: Sequence[Input]) -> list[str]:
    """Return a line for every input that holds something else, is new, or is not read any more; names do not count.

    >>> changes([Input(("data", "path"), "", "/d.npz", "aaaaaaaaaaaa")], [Input(("data", "path"), "", "/d.npz", "bb")])
    ['data.path: /d.npz: sha256 was aaaaaaaa, is bb']
    """
    old, new = ({(one.key, one.role): one for one in inputs} for inputs in (before, now))
    lines = []
    for place, one in old.items():
        other = new.get(place)
        if other is None:
            lines.append(f"{one}: is not read any more, sha256 was {one.sha256[:8]}")
        elif other.sha256 != one.sha256:
            moved = f" (was {one.path})" if other.path != one.path else ""
            lines.append(f"{other}{moved}: sha256 was {one.sha256[:8]}, is {other.sha256[:8]}")
    lines += [
        f"{one}: was not read before, sha256 is {one.sha256[:8]}" for place, one in new.items() if place not in old
    ]
    return lines
