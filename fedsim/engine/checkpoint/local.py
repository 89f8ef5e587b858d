"""Checkpoints: a folder written under a temporary name, checked by sha256, committed by one rename. No pickle.

    checkpoints/round-00000020/
        state.npz       parameters, rule state, server optimiser, ledger, shadows: arrays by dotted name
        node-K.ids.npy  clients of node K that have a memory        (written by the node's host)
        node-K.rows.npy their memories, as stored                   (written by the node's host)
        manifest.json   format, run, round, scenario hash, versions, sha256 and size of every file; written last

Everything else is a function of the seed. A checkpoint that fails its checks is passed over for the one before it,
and said so; nothing is ever taken from it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from fedsim.core import NoCheckpointError, ScenarioError
from fedsim.core.state import flatten, restore, save_arrays
from fedsim.core.system.files import atomic_folder
from fedsim.engine.checkpoint.remote import CheckpointURL, Digests, digests_of

FORMAT = 1
FOLDER = "checkpoints"
MANIFEST, STATE = "manifest.json", "state.npz"


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint says of itself."""

    format: int
    run: str
    round: int
    scenario_hash: str
    versions: Mapping[str, str]
    files: Mapping[str, tuple[str, int]]


@dataclass(frozen=True)
class Saved:
    """A checkpoint that passed its checks."""

    place: Path | CheckpointURL
    manifest: Manifest
    arrays: Mapping[str, npt.NDArray[Any]] | None = None

    @property
    def round(self) -> int:
        """The last round it holds."""
        return self.manifest.round

    def state(self, template: Any) -> Any:
        """Return the saved state in the structure of `template`.

        Raises
        ------
        NoCheckpointError : it was written by a version that kept less, or is no state of this run.
        """
        try:
            if isinstance(self.place, CheckpointURL):
                assert self.arrays is not None, "what is remote was read when it was checked"
                return restore(template, self.arrays)
            with np.load(self.place / STATE, allow_pickle=False) as arrays:
                return restore(template, dict(arrays))
        except KeyError as error:
            text = f"{self.place}: holds no {error.args[0]}; another version of fedsim wrote it: start anew"
            raise NoCheckpointError(text) from error
        except (OSError, ValueError, TypeError, AttributeError, EOFError, BadZipFile) as error:
            raise NoCheckpointError(f"{self.place}: {STATE} holds no state of this run ({error})") from error


def name_of(round: int) -> str:
    """Return the folder's name; names sort by round."""
    return f"round-{round:08d}"


def write(
    base: Path | CheckpointURL,
    state: Any,
    write_nodes: Callable[[Path | CheckpointURL], Digests],
    *,
    run: str,
    round: int,
    scenario_hash: str,
    versions: Mapping[str, str],
    keep: int,
    at: Callable[[str], None] = lambda step: None,
) -> None:
    """Write one checkpoint and let go of all but the last `keep`.

    `write_nodes` has the hosts write their nodes' files into the folder it is given; of a remote one they tell the
    sha256. `at` is told of every step.

    Raises
    ------
    DiskError : when it cannot be written; what was there before is untouched.
    """
    if isinstance(base, CheckpointURL):
        about: dict[str, Any] = {"run": run, "round": round, "scenario_hash": scenario_hash, "versions": versions}
        _write_remote(base, state, write_nodes, **about, keep=keep, at=at)
        return
    final = base / name_of(round)
    if final.exists():  # of this very round, written before a rollback: the same bits, when it is whole
        try:
            check(final, run, scenario_hash)
            return
        except NoCheckpointError:
            shutil.rmtree(final)
    base.mkdir(parents=True, exist_ok=True)
    at("checkpoint.open")
    with atomic_folder(final) as folder:
        save_arrays(folder / STATE, flatten(state))
        at("checkpoint.nodes")
        write_nodes(folder)
        manifest = Manifest(FORMAT, run, round, scenario_hash, versions, digests_of(folder))
        at("checkpoint.manifest")
        (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1))
        at("checkpoint.rename")
    at("checkpoint.prune")
    earlier = sorted(path for path in base.glob("round-*") if path.name < final.name)
    for old in earlier[: max(0, len(earlier) - (keep - 1))]:
        shutil.rmtree(old)


def _write_remote(
    base: CheckpointURL,
    state: Any,
    write_nodes: Callable[[Path | CheckpointURL], Digests],
    *,
    run: str,
    round: int,
    scenario_hash: str,
    versions: Mapping[str, str],
    keep: int,
    at: Callable[[str], None],
) -> None:
    """Write one checkpoint where nothing can be renamed: the manifest comes last, and goes first."""
    final = base / name_of(round)
    final.remove(MANIFEST)
    with TemporaryDirectory(prefix="fedsim-") as name:
        folder = Path(name)
        save_arrays(folder / STATE, flatten(state))
        at("checkpoint.nodes")
        files = final.upload(folder) | write_nodes(final)
        at("checkpoint.manifest")
        (folder / STATE).unlink()
        manifest = Manifest(FORMAT, run, round, scenario_hash, versions, files)
        (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1))
        final.upload(folder)
    at("checkpoint.prune")
    earlier = [name for name in base.names() if name < name_of(round)]
    for name in earlier[: max(0, len(earlier) - (keep - 1))]:
        (base / name).remove(MANIFEST)


def check(place: Path | CheckpointURL, run: str | None, scenario_hash: str) -> Saved:
    """Return a checkpoint after checking every byte of it.

    Raises
    ------
    NoCheckpointError : with the reason, when it is not whole, altered, of another run, or of another format.
    """
    if isinstance(place, CheckpointURL):
        with TemporaryDirectory(prefix="fedsim-") as name:
            path = Path(name) / str(place).rpartition("/")[2]
            path.mkdir()
            place.download(path)
            saved = check(path, run, scenario_hash)
            with np.load(path / STATE, allow_pickle=False) as arrays:
                return Saved(place, saved.manifest, dict(arrays))
    path = place

    def refuse(reason: str) -> NoCheckpointError:
        return NoCheckpointError(f"checkpoint {path.name} rejected: {reason}")

    try:
        raw = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if raw.get("format") != FORMAT:
            raise refuse(f"format {raw.get('format')!r}, this version reads format {FORMAT}")
        files = {name: (str(digest), int(size)) for name, (digest, size) in raw["files"].items()}
        manifest = Manifest(**{**raw, "round": int(raw["round"]), "files": files})
        versions = {str(name): str(value) for name, value in raw["versions"].items()}
        manifest = replace(manifest, versions=versions)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise refuse(f"its manifest cannot be read ({type(error).__name__})") from error
    if run is not None and manifest.run != run:
        raise refuse(f"it belongs to run {manifest.run}, not to {run}")
    if manifest.scenario_hash != scenario_hash:
        raise refuse("it belongs to another scenario")
    if STATE not in manifest.files or name_of(manifest.round) != path.name:
        raise refuse("its manifest does not describe it")
    for name, (digest, size) in manifest.files.items():
        if "/" in name or "\0" in name or len(name) > 255:
            raise refuse(f"its manifest names {name[:40]!r}, which is no file of it")
        file = path / name
        if not file.is_file():
            raise refuse(f"{name} is missing")
        if file.stat().st_size != size:
            raise refuse(f"{name} has {file.stat().st_size} bytes instead of {size}")
        if _sha256(file) != digest:
            raise refuse(f"sha256 of {name} differs")
    return Saved(path, manifest)


def newest(
    base: Path | CheckpointURL,
    run: str | None,
    scenario_hash: str,
    tell: Callable[[str], None],
    before: int | None = None,
) -> Saved | None:
    """Return the newest good checkpoint, None when none was ever written.

    Raises
    ------
    NoCheckpointError : when there are checkpoints and not one of them is good.
    """
    found = reversed(found_in(base))
    reasons = []
    for path in found:
        try:
            saved = check(path, run, scenario_hash)
        except NoCheckpointError as error:
            reasons.append(str(error))
            tell(str(error))
            continue
        if before is None or saved.round < before:
            return saved
    if reasons:
        raise NoCheckpointError("; ".join(reasons) + "; no good checkpoint is left")
    return None


def possible(base: Path) -> Path:
    """Return a folder for checkpoints, when there can be one of this name.

    Raises
    ------
    ScenarioError : the system takes no such name.
    """
    try:
        os.stat(base)
    except FileNotFoundError:
        return base
    except (OSError, ValueError) as error:
        raise ScenarioError(f"checkpoint.path: {str(base)[:60]!r} cannot be a folder: {error.args[-1]}") from error
    return base


def found_in(base: Path | CheckpointURL) -> list[Path | CheckpointURL]:
    """Return the places of all checkpoints, good or not, ascending by round."""
    if isinstance(base, CheckpointURL):
        return [base / name for name in base.names() if name.startswith("round-") and (base / name).has(MANIFEST)]
    return [*sorted(base.glob("round-*"))] if base.is_dir() else []


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
