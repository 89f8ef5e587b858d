"""LEAF's JSON files (Caldas et al. 2018): `users`, and of each user its examples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import ScenarioError
from fedsim.data.reading.files import read

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Users:
    """Examples by user: names, x (n, size) float32, y (n,), and the place of each example's owner among the names."""

    names: tuple[str, ...]
    x: npt.NDArray[np.float32]
    y: Ints
    owners: Ints


def json_files(folder: Path) -> list[Path]:
    """Return the JSON files of a folder by name, those that a sampling left beside them in folders not included."""
    return sorted(path for path in folder.glob("*.json") if path.is_file()) if folder.is_dir() else []


def read_users(files: Sequence[Path], size: int, classes: int, most: int | None = None) -> Users:
    """Return the first `most` users of some files (default: all), in the files' order; later files are not looked at.

    Raises
    ------
    ScenarioError : a file is none of LEAF's, or has examples of another size, or labels beyond the `classes`.
    """
    names: list[str] = []
    parts: list[tuple[npt.NDArray[np.float32], Ints]] = []
    for path in files:
        for name, x, y in _users(path, size, classes):
            if name in names:
                raise ScenarioError(f"data.path: {path}: user {name} is there twice")
            names.append(name)
            parts.append((x, y))
            if len(names) == most:
                break
        if len(names) == most:
            break
    if not names:
        raise ScenarioError(f"data.path: no user in {', '.join(map(str, files))} has an example")
    owners = np.repeat(np.arange(len(names)), [len(y) for _, y in parts])
    x, y = np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
    return Users(tuple(names), x, y, owners)


def _users(path: Path, size: int, classes: int) -> Iterator[tuple[str, npt.NDArray[np.float32], Ints]]:
    """Yield the users of a file that have examples."""
    try:
        content: Any = json.loads(read(path))
        users = [(str(name), content["user_data"][name]) for name in content["users"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        told = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ScenarioError(f"data.path: {path} is no file of LEAF's ({{users, user_data}} in JSON): {told}") from error
    for name, held in users:
        try:
            x, y = np.asarray(held["x"], np.float32), np.asarray(held["y"])
        except (ValueError, KeyError, TypeError) as error:
            raise ScenarioError(
                f"data.path: {path}: user {name}: x and y should be lists of numbers: {error}"
            ) from error
        if not len(y) and not len(x):
            continue
        problem = _problem(x, y, size, classes)
        if problem:
            raise ScenarioError(f"data.path: {path}: user {name}: {problem}")
        yield name, x, y.astype(np.int64)


def _problem(x: npt.NDArray[np.float32], y: npt.NDArray[Any], size: int, classes: int) -> str | None:
    if x.ndim != 2 or x.shape[1] != size:
        return f"x should be rows of {size} numbers, is of shape {x.shape}"
    if y.shape != x.shape[:1]:
        return f"{len(x)} examples, and labels of shape {y.shape}"
    if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= classes:
        return f"labels should be whole numbers from 0 to {classes - 1}"
    if not np.isfinite(x).all():
        return "x holds NaN or infinite numbers"
    return None
