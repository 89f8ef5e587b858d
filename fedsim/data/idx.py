"""The dataset `idx`: MNIST and everything that is distributed in its format."""

from __future__ import annotations

from abc import ABC, abstractmethod
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
from fedsim.data.reading.files import find_all, missing, read
from fedsim.data.reading.normalise import Normalise, normalised

_IMAGES, _LABELS = 0x803, 0x801  # unsigned bytes in three dimensions, in one
_ENDS = ("", ".gz")
_ROLES = ("training images", "training labels", "test images", "test labels")


class IdxFiles(ABC):
    """What datasets in IDX files share; a subclass says where the four files lie."""

    clients: int
    partition: AnyDealing
    normalise: Normalise
    test_per_client: float | None
    key: ClassVar[str] = "path"
    channels: ClassVar[int] = 1

    @property
    def num_clients(self) -> int | None:
        """N."""
        return self.clients

    @property
    def stems(self) -> tuple[str, str]:
        """What the names of the training files and of the test files begin with."""
        return "train", "t10k"

    @abstractmethod
    def place(self, folder: str) -> Path:
        """Return the folder with the files."""

    def problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for each file that is not there."""
        yield from ((self.key, message) for message in missing(self.place(folder), self._files()))

    def inputs(self, folder: str) -> dict[str, dict[str, Path]]:
        """Return the four files that are read in the folder, by what they are."""
        found = find_all(self.place(folder), self._files())
        return {self.key: dict(zip(_ROLES, found, strict=True))}

    def load(self, seed: int, folder: str = ".") -> Partitioned:
        """Read the four files; bytes stay bytes until a batch is gathered."""
        place = self.place(folder)
        images, labels, test_images, test_labels = find_all(place, self._files())
        x, y = _split(images, labels)
        test_x, test_y = _split(test_images, test_labels)
        if x.shape[1:] != test_x.shape[1:]:
            raise ScenarioError(
                f"data.path: {place}: training images are {x.shape[2:]}, test images {test_x.shape[2:]}"
            )
        classes = int(max(y.max(), test_y.max())) + 1
        dealt = deal_out(x, y, self.partition, self.clients, classes, seed=seed, test=(test_x, test_y), divisor=255.0)
        return normalised(apart(dealt, self.test_per_client, seed), self.normalise)

    def _files(self) -> dict[str, list[str]]:
        """Return the names of the four files: four spellings each."""
        kinds = {f"{stem} {part}": (stem, part) for stem in self.stems for part in ("images", "labels")}
        return {
            what: [f"{stem}-{part}{dash}idx{3 if part == 'images' else 1}-ubyte{end}" for dash in "-." for end in _ENDS]
            for what, (stem, part) in kinds.items()
        }


@dataclass(frozen=True, kw_only=True)
class Idx(IdxFiles):
    """Images in MNIST's IDX format in a folder (MNIST, Fashion-MNIST, KMNIST, EMNIST), raw or gzipped; in [0, 1].

    The folder holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte,
    each with or without .gz. Shape (1, height, width); as many labels as the largest one says, counted from 0.
    """

    dataset: Literal["idx"] = "idx"
    path: InputPath
    """The folder with the four files, relative to the scenario file."""
    clients: Annotated[int, Ge(1)]
    """How many clients share the training images."""
    partition: AnyDealing = IID
    """How the training images are dealt to them."""
    train: str = "train"
    """What the training files' names begin with, e.g. emnist-digits-train."""
    test: str = "t10k"
    """What the test files' names begin with, e.g. emnist-digits-test."""
    normalise: Normalise = field(default=None, metadata=LATER)
    """{mean: [...], std: [...]}, one number a channel, or `channel` for those of the training examples; null: as is."""
    test_per_client: Annotated[float, Gt(0), Lt(1)] | None = field(default=None, metadata=LATER)
    """Share of its examples that each client holds out for itself, by key, on which `evaluate.clients` judges; null:
    none."""

    @property
    def stems(self) -> tuple[str, str]:
        """What the names of the files begin with."""
        return self.train, self.test

    def place(self, folder: str) -> Path:
        """Return the folder with the files."""
        return place_of(self.path, folder)


def _split(images: Path, labels: Path) -> tuple[npt.NDArray[np.uint8], Ints]:
    x, y = read_idx(images, _IMAGES), read_idx(labels, _LABELS)
    if len(x) != len(y):
        raise ScenarioError(f"data.path: {images} holds {len(x)} images, {labels} {len(y)} labels")
    return x[:, None], y.astype(np.int64)


def read_idx(path: Path, magic: int) -> npt.NDArray[np.uint8]:
    """Return the array of an IDX file of unsigned bytes: magic number, sizes (all big-endian uint32), bytes.

    Raises
    ------
    ScenarioError : for another magic number, an empty array, or bytes that are not as many as the sizes promise.
    """
    content = read(path)
    rank = magic & 0xFF
    if len(content) < 4 * (1 + rank):
        raise ScenarioError(
            f"data.path: {path} has {len(content)} bytes, too few for an IDX header of {4 * (1 + rank)}"
        )
    found, *shape = np.frombuffer(content, ">u4", count=1 + rank).tolist()
    if found != magic:
        raise ScenarioError(f"data.path: {path} begins with {found:#010x}, an IDX file of this kind with {magic:#010x}")
    size = int(np.prod(shape, dtype=object))
    given = len(content) - 4 * (1 + rank)
    if size != given:
        sizes = " x ".join(map(str, shape))
        raise ScenarioError(f"data.path: {path} is damaged: its header promises {sizes} bytes, it holds {given}")
    if size == 0:
        raise ScenarioError(f"data.path: {path} is empty: its header promises {' x '.join(map(str, shape))} bytes")
    return np.frombuffer(content, np.uint8, offset=4 * (1 + rank)).reshape(shape)
