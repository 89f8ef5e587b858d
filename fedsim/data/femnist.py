"""The dataset `femnist`, in LEAF's JSON files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core import ScenarioError
from fedsim.core.config.inputs import InputPath, place_of
from fedsim.data.partitioned import Partitioned, apart, hold_out_within, pool
from fedsim.data.reading.leaf import json_files, read_users
from fedsim.data.reading.normalise import Normalise, normalised

_SIDE, _CLASSES = 28, 62


@dataclass(frozen=True, kw_only=True)
class Femnist:
    """FEMNIST as LEAF writes it: handwritten digits and letters, a client a writer; shape (1, 28, 28), 62 classes.

    Caldas et al., "LEAF: a benchmark for federated settings", 2018. The folder holds .json files with `users` and
    `user_data`, or the folders train and test with such files, as LEAF's preprocess.sh leaves them. Without a folder
    test, a share of each writer's images is held out.
    """

    dataset: Literal["femnist"] = "femnist"
    path: InputPath
    """The folder with the .json files, or with train and test, relative to the scenario file."""
    clients: Annotated[int, Ge(1)] | None = None
    """How many of the writers take part: the first ones, in the order of the files; null: all."""
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Share of each writer's images held out for the global evaluation, where there is no folder test."""
    normalise: Normalise = None
    """{mean: [...], std: [...]}, one number a channel, or `channel` for those of the training examples; null: as is."""
    test_per_client: Annotated[float, Gt(0), Lt(1)] | None = None
    """Share of its examples that each client holds out for itself, by key, on which `evaluate.clients` judges; null:
    none."""
    channels: ClassVar[int] = 1

    @property
    def num_clients(self) -> int | None:
        """N, or None when only the files know it."""
        return self.clients

    def problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when there are no such files."""
        place = place_of(self.path, folder)
        if not place.is_dir():
            kind = "is a file, not a folder" if place.exists() else "is not there"
            yield "path", f"{place} {kind}; expected a folder with LEAF's .json files, or with train and test"
        elif not json_files(self._train(folder)):
            yield "path", f"{self._train(folder)} holds no .json file; LEAF's preprocess.sh writes them"

    def inputs(self, folder: str) -> dict[str, dict[str, Path]]:
        """Return every file, by its place in the folder."""
        place = place_of(self.path, folder)
        found = [*json_files(self._train(folder)), *json_files(place / "test")]
        return {"path": {path.relative_to(place).as_posix(): path for path in dict.fromkeys(found)}}

    def load(self, seed: int, folder: str = ".") -> Partitioned:
        """Read the files; all images of the folder test are the global test split."""
        for key, message in self.problems_in(folder):
            raise ScenarioError(f"data.{key}: {message}")
        place = place_of(self.path, folder)
        users = read_users(json_files(self._train(folder)), _SIDE * _SIDE, _CLASSES, self.clients)
        if self.clients is not None and self.clients > len(users.names):
            raise ScenarioError(f"data.clients: {self.clients} given, and {place} has {len(users.names)} writers")
        x, test, owners, train = _images(users.x), None, users.owners, None
        test_files = json_files(place / "test")
        if test_files:
            held = read_users(test_files, _SIDE * _SIDE, _CLASSES)
            test = _images(held.x), held.y
        else:
            train = hold_out_within(owners, self.test_fraction, seed)
            owners = owners[train]
        pooled = pool(x, users.y, owners, len(users.names), _CLASSES, train=train, test=test)
        return normalised(apart(pooled, self.test_per_client, seed), self.normalise)

    def _train(self, folder: str) -> Path:
        place = place_of(self.path, folder)
        inner = place / "train"
        return inner if inner.is_dir() else place


def _images(
    rows: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return rows.reshape(-1, 1, _SIDE, _SIDE)
