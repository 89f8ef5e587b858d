"""The dataset `npz`: a user's own arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal
from zipfile import is_zipfile

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core import ScenarioError
from fedsim.core.config.inputs import InputPath, place_of
from fedsim.core.config.plain import LATER
from fedsim.data.partitioned import Partitioned, apart
from fedsim.data.partitions import IID, AnyPartition
from fedsim.data.partitions.natural import Natural
from fedsim.data.reading.arrays import (
    Array,
    Layout,
    array_problems,
    channels_first,
    channels_last,
    deal,
    layout_problems,
)
from fedsim.data.reading.headers import UNREADABLE, headers
from fedsim.data.reading.normalise import Normalise, normalised


@dataclass(frozen=True, kw_only=True)
class Npz:
    """Your own arrays in one .npz file: x, y, optional x_test and y_test, optional client for the natural partition.

    x is (n, ...): vectors, or images with channels first, or as `layout` says; (n, height, width) becomes
    (n, 1, height, width). y are whole numbers, any values: sorted and renumbered from 0. Nothing in the file is
    unpickled.
    """

    dataset: Literal["npz"] = "npz"
    path: InputPath
    """The file, relative to the scenario file."""
    clients: Annotated[int, Ge(1)] | None = None
    """How many clients share the examples; the natural partition counts them itself."""
    partition: AnyPartition = IID
    """How the examples are dealt to them."""
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Held out when the file has no x_test: stratified by label, or by client for the natural partition."""
    divide_by: Annotated[float, Gt(0)] | None = None
    """Features are divided by this, e.g. 255 for images; bytes need it (1 leaves them as they are)."""
    normalise: Normalise = field(default=None, metadata=LATER)
    """{mean: [...], std: [...]}, one number a channel, or `channel` for those of the training examples; null: as is."""
    test_per_client: Annotated[float, Gt(0), Lt(1)] | None = field(default=None, metadata=LATER)
    """Share of its examples that each client holds out for itself, by key, on which `evaluate.clients` judges; null:
    none."""

    layout: Layout | None = field(default=None, metadata=LATER)
    """Where the channels of images are in the file; channels_last moves them to the front; null: as they are."""

    @property
    def num_clients(self) -> int | None:
        """N, or None when only the file knows it (natural partition)."""
        return self.clients

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that do not fit together."""
        if self.clients is None and not isinstance(self.partition, Natural):
            yield "clients", f"is needed by the {self.partition.kind} partition; only natural counts the clients itself"

    def problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when the file is not there or no .npz file, and for each array that cannot be meant."""
        path = place_of(self.path, folder)
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "is not there"
            yield "path", f"{path} {kind}; expected a .npz file with the arrays x and y"
        elif not is_zipfile(path):
            yield "path", f"{path} is no .npz file (numpy.savez writes one), or it is truncated"
        else:
            yield from self._array_problems(path)

    def _array_problems(self, path: Path) -> Iterator[tuple[str, str]]:
        try:
            found = headers(path)
        except UNREADABLE as error:
            yield "path", f"{path} cannot be read: {error}"
            return
        yield from array_problems(found, str(path), self._column, found)
        if self.layout is not None:
            for name in ("x", "x_test"):
                for text in layout_problems(found[name], name) if name in found else ():
                    yield "layout", text
        stored = [name for name in ("x", "x_test") if name in found and found[name].dtype == np.uint8]
        if stored and self.divide_by is None:
            text = f"{path}: {' and '.join(stored)} in bytes (uint8): write `divide_by: 255` to train on numbers in"
            yield "divide_by", f"{text} [0, 1], or `divide_by: 1` to train on 0 to 255 as they are"

    def image_problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for arrays whose examples look unlike images with channels first."""
        path = place_of(self.path, folder)
        if not path.is_file() or not is_zipfile(path) or self.layout is not None:
            return
        try:
            found = headers(path)
        except UNREADABLE:  # told by problems_in
            return
        for name in ("x", "x_test"):
            wanted = channels_last(found[name].shape[1:]) if name in found else None
            if wanted is not None:
                shape = f"(n, {', '.join(map(str, wanted))})"
                cure = f"give {shape}, as `layout: channels_last` makes of it"
                yield "path", f"{path}: {name} of shape {found[name].shape} looks like channels last; {cure}"

    @property
    def _column(self) -> str | None:
        return self.partition.column if isinstance(self.partition, Natural) else None

    def load(self, seed: int, folder: str = ".") -> Partitioned:
        """Read the file and deal its examples."""
        for key, message in self.problems_in(folder):
            raise ScenarioError(f"data.{key}: {message}")
        path = place_of(self.path, folder)
        column = [] if self._column is None else [self._column]
        arrays, names = _read(path, ["x", "y", "x_test", "y_test", *column])
        dealt = deal(
            channels_first(arrays, self.layout),
            str(path),
            names=names,
            clients=self.clients,
            partition=self.partition,
            test_fraction=self.test_fraction,
            divisor=self.divide_by or 1.0,
            seed=seed,
            tokens=self.normalise is None,
        )
        return normalised(apart(dealt, self.test_per_client, seed), self.normalise)


def _read(path: Path, wanted: list[str]) -> tuple[dict[str, Array], list[str]]:
    """Return the arrays of a file that are wanted and there, and the names of all it holds."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in wanted if name in file.files}, list(file.files)
    except UNREADABLE as error:
        raise ScenarioError(f"data.path: {path} cannot be read: {error}") from error
