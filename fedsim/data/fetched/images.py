"""Datasets that `fedsim data get` brings: found in its folder, or told how to get there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Lt

from fedsim.core import ScenarioError
from fedsim.core.config.plain import LATER
from fedsim.data.idx import IdxFiles
from fedsim.data.partitions import IID, AnyDealing
from fedsim.data.reading.normalise import Normalise
from fedsim.data.sources import catalogue


@dataclass(frozen=True, kw_only=True)
class FetchedImages(IdxFiles):
    """Images in IDX files that `fedsim data get` brings; a subclass has the word as `dataset`."""

    dataset: str
    clients: Annotated[int, Ge(1)]
    """How many clients share the training images."""
    partition: AnyDealing = IID
    """How the training images are dealt to them."""
    normalise: Normalise = field(default=None, metadata=LATER)
    """{mean: [...], std: [...]}, one number a channel, or `channel` for those of the training examples; null: as is."""
    test_per_client: Annotated[float, Gt(0), Lt(1)] | None = field(default=None, metadata=LATER)
    """Share of its examples that each client holds out for itself, by key, on which `evaluate.clients` judges; null:
    none."""
    key: ClassVar[str] = "dataset"

    def place(self, folder: str) -> Path:
        """Return the folder into which it was fetched; `folder` has no part in it."""
        source = catalogue()[self.dataset]
        if not source.is_here:
            raise ScenarioError(f"data.dataset: {source.missing()}")
        return source.folder

    def problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield the command that fetches it, where it is not here."""
        source = catalogue()[self.dataset]
        if not source.is_here:
            yield self.key, source.missing()
