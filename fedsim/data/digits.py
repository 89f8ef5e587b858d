"""The dataset `digits`."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core import ScenarioError
from fedsim.core.config.plain import LATER
from fedsim.data.partitioned import Partitioned, apart, deal_out, hold_out
from fedsim.data.partitions import IID, AnyDealing
from fedsim.data.reading.normalise import Normalise, normalised

_IMAGES = 1797


@dataclass(frozen=True, kw_only=True)
class Digits:
    """1,797 real images of handwritten digits, 8 x 8, bundled with scikit-learn: 10 labels, features in [0, 1].

    Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI 1998 (its test set). Shape (1, 8, 8).
    """

    dataset: Literal["digits"] = "digits"
    clients: Annotated[int, Ge(1)]
    """How many clients share the images."""
    partition: AnyDealing = IID
    """How the images are dealt to them."""
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Held out for the global evaluation before the rest is dealt; stratified by label."""
    normalise: Normalise = field(default=None, metadata=LATER)
    """{mean: [...], std: [...]}, one number a channel, or `channel` for those of the training examples; null: as is."""
    test_per_client: Annotated[float, Gt(0), Lt(1)] | None = field(default=None, metadata=LATER)
    """Share of its examples that each client holds out for itself, by key, on which `evaluate.clients` judges; null:
    none."""
    channels: ClassVar[int] = 1

    @property
    def num_clients(self) -> int | None:
        """N."""
        return self.clients

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when there are more clients than images for them."""
        train = _IMAGES - int(_IMAGES * self.test_fraction)
        needed = self.clients * self.partition.least
        if needed > train:
            yield "clients", f"{self.clients} clients need {needed} training images, and there are {train}"

    def load(self, seed: int, folder: str = ".") -> Partitioned:
        """Read the images out of the installed scikit-learn, without importing it (that takes seconds)."""
        with gzip.open(_bundled_file(), "rt") as lines:
            table = np.loadtxt(lines, delimiter=",", dtype=np.int64)
        x = table[:, :64].astype(np.uint8).reshape(-1, 1, 8, 8)
        y = np.ascontiguousarray(table[:, 64])
        train = hold_out(y, self.test_fraction, seed)
        dealt = deal_out(x, y, self.partition, self.clients, 10, seed=seed, train=train, divisor=16.0)
        return normalised(apart(dealt, self.test_per_client, seed), self.normalise)


def _bundled_file() -> Path:
    spec = find_spec("sklearn")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        found = Path(place, "datasets", "data", "digits.csv.gz")
        if found.is_file():
            return found
    raise ScenarioError(
        "data.dataset: digits reads datasets/data/digits.csv.gz of the package scikit-learn, "
        "which is not there: pip install scikit-learn"
    )
