"""What a run's folder held when the run ended: the sha256 of its files, kept in summary.json, and what differs now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import file_digest
from pathlib import Path
from typing import Any

from fedsim.core import ScenarioError
from fedsim.engine.checkpoint import local as checkpoint
from fedsim.engine.run.folder import CODE, LOCK, NOTE, PARAMS, ROUNDS, SCENARIO, SUMMARY
from fedsim.metrics.event_json import from_json
from fedsim.metrics.summary import altered, read_summary
from fedsim.store.sink import SPOOL

FILES = "files"
"""The key of summary.json under which the sha256 of the folder's files stand."""


def seal(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file by which a run is known: all but logs, and the summary itself."""
    found = [path for name in (SCENARIO, NOTE, ROUNDS, PARAMS) if (path := folder / name).is_file()]
    found += sorted(path for name in (CODE, checkpoint.FOLDER) for path in (folder / name).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in found}


def rows_altered(folder: Path, summary: Mapping[str, Any]) -> bool:
    """Return whether the rows of a run that ended are not those that its summary was written with."""
    sealed, rows = summary.get(FILES), folder / ROUNDS
    known = sealed.get(ROUNDS) if isinstance(sealed, Mapping) else None
    return known is not None and rows.is_file() and _sha256(rows) != known


def broken(folder: Path) -> list[str]:
    """Return a line for every file of a run's folder that is missing, or not as the run left it."""
    lines = [*_spool(folder / SPOOL)]
    if (folder / LOCK).exists():  # no end was written since somebody began to write
        return lines
    try:
        summary = read_summary(folder)
        if not summary:
            return [f"{SUMMARY}: is missing", *lines]
        if altered(folder / SUMMARY):
            lines.append(f"{SUMMARY}: was altered after the run ended")
    except (ScenarioError, OSError, ValueError) as error:
        return [f"{SUMMARY}: {error}", *lines]
    return [*lines, *_differing(folder, summary.get(FILES))]


def _differing(folder: Path, sealed: Any) -> Iterator[str]:
    if not isinstance(sealed, Mapping):
        if sealed is not None:
            yield f"{SUMMARY}: {FILES} is no table of files"
        return
    for name, digest in sealed.items():
        path = folder / name
        try:
            now = _sha256(path)
        except FileNotFoundError:
            yield f"{name}: is missing"
        except (OSError, ValueError) as error:
            yield f"{name}: cannot be read ({error})"
        else:
            if now != digest:
                yield f"{name}: was altered after the run ended (sha256 was {digest}, is {now})"
    for name in seal(folder).keys() - sealed.keys():
        yield f"{name}: was not there when the run ended"


def _spool(path: Path) -> Iterator[str]:
    if not path.is_file():
        return
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n") or (number == 1 and line.startswith(b'{"spool":1,')):
            continue
        try:
            from_json(line)
        except ValueError as error:
            yield f"{path.name}: line {number} is no event ({error})"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
