"""The dataset `cifar`: CIFAR-10 and CIFAR-100 in their binary versions."""

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
from fedsim.data.reading.files import find_all, missing, read
from fedsim.data.reading.normalise import Normalise, normalised

_PIXELS = 3 * 32 * 32
_OFFICIAL = {10: "cifar-10-batches-bin", 100: "cifar-100-binary"}
_NAMES = {
    10: [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"],
    100: ["train.bin", "test.bin"],
}


@dataclass(frozen=True, kw_only=True)
class Cifar:
    """CIFAR-10 or CIFAR-100, binary version, in a folder: 32 x 32 colour images, features in [0, 1]; no pickle.

    Krizhevsky, "Learning multiple layers of features from tiny images", 2009. CIFAR-10: data_batch_1.bin to
    data_batch_5.bin and test_batch.bin; CIFAR-100 (fine labels): train.bin and test.bin. Shape (3, 32, 32).
    """

    dataset: Literal["cifar"] = "cifar"
    path: InputPath
    """The folder with the .bin files, or the one that holds it, relative to the scenario file."""
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
        yield from (("path", message) for message in missing(self._place(folder), self._files()))

    def inputs(self, folder: str) -> dict[str, dict[str, Path]]:
        """Return the files that are read in the folder, by what they are."""
        names = (name.removesuffix(".bin") for name in _NAMES[self.classes])
        return {"path": dict(zip(names, find_all(self._place(folder), self._files()), strict=True))}

    def load(self, seed: int, folder: str = ".") -> Partitioned:
        """Read the files; bytes stay bytes until a batch is gathered."""
        *parts, test = [_records(path, self.classes) for path in find_all(self._place(folder), self._files())]
        x, y = np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
        dealt = deal_out(x, y, self.partition, self.clients, self.classes, seed=seed, test=test, divisor=255.0)
        return normalised(apart(dealt, self.test_per_client, seed), self.normalise)

    def _place(self, folder: str) -> Path:
        place = place_of(self.path, folder)
        inner = place / _OFFICIAL[self.classes]
        return inner if inner.is_dir() else place

    def _files(self) -> dict[str, list[str]]:
        """Return the names of the training files, then of the test file."""
        return {f"{name} of CIFAR-{self.classes} (binary version)": [name] for name in _NAMES[self.classes]}


def _records(path: Path, classes: int) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Return images (n, 3, 32, 32) and labels (n,): a record is its label bytes (CIFAR-100: coarse, fine), then pixels.

    Raises
    ------
    ScenarioError : when the file is no whole number of records or a label is out of range.
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
    if y.max() >= classes:
        raise ScenarioError(f"data.path: {path} holds the label {y.max()}, CIFAR-{classes} has 0..{classes - 1}")
    return table[:, labels:].reshape(-1, 3, 32, 32), y
