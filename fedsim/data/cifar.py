"""The dataset `cifar`: CIFAR-10 and CIFAR-100 in their binary or python versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Lt

from fedsim.core import ScenarioError
from fedsim.core.config.inputs import InputPath, place_of
from fedsim.core.config.plain import LATER
from fedsim.data.partitioned import Partitioned, apart, deal_out
from fedsim.data.partitions import IID, AnyDealing
from fedsim.data.partitions.dealing import Ints
from fedsim.data.reading.batches import read_batch
from fedsim.data.reading.files import find_all, missing, read
from fedsim.data.reading.normalise import Normalise, normalised

_PIXELS = 3 * 32 * 32
_OFFICIAL = {10: "cifar-10-batches-bin", 100: "cifar-100-binary"}
_PYTHON = {10: ("cifar-10-batches-py", "labels"), 100: ("cifar-100-python", "fine_labels")}
_NAMES = {
    10: [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"],
    100: ["train.bin", "test.bin"],
}


@dataclass(frozen=True, kw_only=True)
class Cifar:
    """CIFAR-10 or CIFAR-100, binary or python version, in a folder: 32 x 32 colour images, features in [0, 1].

    Krizhevsky, "Learning multiple layers of features from tiny images", 2009. CIFAR-10: data_batch_1.bin to
    data_batch_5.bin and test_batch.bin; CIFAR-100 (fine labels): train.bin and test.bin. Shape (3, 32, 32). The python
    version has the same names without .bin, and is read where those are not there; its pickles may hold arrays, numbers
    and text, and are refused where they ask for anything else.
    """

    dataset: Literal["cifar"] = "cifar"
    path: InputPath
    """The folder with the files, or the one that holds it, relative to the scenario file."""
    classes: Literal[10, 100] = 10
    """Which of the two: 10 or 100 labels."""
    clients: Annotated[int, Ge(1)]
    """How many clients share the training images."""
    partition: AnyDealing = IID
    """How the training images are dealt to them."""
    normalise: Normalise = field(default=None, metadata=LATER)
    """{mean: [...], std: [...]}, one number a channel, or `channel` for those of the training examples; null: as is."""
    test_per_client: Annotated[float, Gt(0), Lt(1)] | None = field(default=None, metadata=LATER)
    """Share of its examples that each client holds out for itself, by key, on which `evaluate.clients` judges; null:
    none."""
    channels: ClassVar[int] = 3

    @property
    def num_clients(self) -> int | None:
        """N."""
        return self.clients

    def problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for each file that is not there."""
        place, files = self._files(folder)
        yield from (("path", message) for message in missing(place, files))

    def inputs(self, folder: str) -> dict[str, dict[str, Path]]:
        """Return the files that are read in the folder, by what they are."""
        names = (name.removesuffix(".bin") for name in _NAMES[self.classes])
        return {"path": dict(zip(names, find_all(*self._files(folder)), strict=True))}

    def load(self, seed: int, folder: str = ".") -> Partitioned:
        """Read the files; bytes stay bytes until a batch is gathered."""
        *parts, test = [self._read(path) for path in find_all(*self._files(folder))]
        x, y = np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
        dealt = deal_out(x, y, self.partition, self.clients, self.classes, seed=seed, test=test, divisor=255.0)
        return normalised(apart(dealt, self.test_per_client, seed), self.normalise)

    def _read(self, path: Path) -> tuple[npt.NDArray[np.uint8], Ints]:
        """Return images and labels of a file of either version; raises ScenarioError for labels out of range."""
        x, y = _records(path, self.classes) if path.suffix else read_batch(path, _PYTHON[self.classes][1])
        if len(y) and not 0 <= y.min() <= y.max() < self.classes:
            wrong = y.max() if y.max() >= self.classes else y.min()
            raise ScenarioError(
                f"data.path: {path} holds the label {wrong}, CIFAR-{self.classes} has 0..{self.classes - 1}"
            )
        return x, y

    def _files(self, folder: str) -> tuple[Path, dict[str, list[str]]]:
        """Return the folder with the files, and the names of the training files, then of the test file."""
        version, inner, names = "binary", _OFFICIAL[self.classes], _NAMES[self.classes]
        place = _inside(place_of(self.path, folder), inner)
        if not any((place / name).is_file() for name in names):
            pickled = [name.removesuffix(".bin") for name in names]
            other = _inside(place_of(self.path, folder), _PYTHON[self.classes][0])
            if any((other / name).is_file() for name in pickled):
                version, place, names = "python", other, pickled
        return place, {f"{name} of CIFAR-{self.classes} ({version} version)": [name] for name in names}


def _inside(place: Path, inner: str) -> Path:
    """Return a folder in another where it is there, else the other."""
    return place / inner if (place / inner).is_dir() else place


def _records(path: Path, classes: int) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Return images (n, 3, 32, 32) and labels (n,): a record is its label bytes (CIFAR-100: coarse, fine), then pixels.

    Raises
    ------
    ScenarioError : when the file is no whole number of records.
    """
    content = np.frombuffer(read(path), np.uint8)
    labels = 1 if classes == 10 else 2
    record = labels + _PIXELS
    if not len(content) or len(content) % record:
        raise ScenarioError(
            f"data.path: {path} has {len(content)} bytes, not a whole number of CIFAR-{classes} records of {record}: "
            "truncated, or another version of the data"
        )
    table = content.reshape(-1, record)
    y = table[:, labels - 1].astype(np.int64)
    return table[:, labels:].reshape(-1, 3, 32, 32), y
