"""The dataset `shakespeare`, once it is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core import ScenarioError
from fedsim.core.rng import stream
from fedsim.data.partitioned import Partitioned
from fedsim.data.reading.files import read
from fedsim.data.reading.roles import speeches
from fedsim.data.reading.windows import Windows, numbered
from fedsim.data.sources import catalogue


@dataclass(frozen=True, kw_only=True)
class Shakespeare:
    """Shakespeare's plays, a client a role: the next character of what it says; `fedsim data get shakespeare`.

    1,083 roles of 37 plays have at least 120 characters. An example is a window of T characters, its target the same
    window one later. The set-up is that of McMahan et al., "Communication-efficient learning of deep networks from
    decentralized data", AISTATS 2017; their edition and LEAF's are another, so that roles and counts are not the same.
    """

    dataset: Literal["shakespeare"] = "shakespeare"
    clients: Annotated[int, Ge(1)] | None = None
    """How many of the roles take part, chosen at random by the scenario's seed; null: all."""
    min_characters: Annotated[int, Ge(1)] = 120
    """Roles that say less are left out."""
    window: Annotated[int, Ge(1)] = 80
    """T, the characters of an example."""
    stride: Annotated[int, Ge(1)] | None = None
    """Characters from the start of one window to that of the next; the default is `window`: they do not overlap."""
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """The end of what each role says, held out for the global evaluation; no window reaches over the cut."""

    @property
    def num_clients(self) -> int | None:
        """N, or None when only the plays know it."""
        return self.clients

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) where the shortest role would have no window to train on."""
        train = self.min_characters - int(self.min_characters * self.test_fraction)
        if train <= self.window:
            yield (
                "window",
                f"of {self.min_characters} characters {train} are trained on: fewer than a window of {self.window} and "
                "the character after it; take a shorter one, or a larger `min_characters`",
            )

    def problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield the command that fetches it, where it is not here."""
        source = catalogue()[self.dataset]
        if not source.is_here:
            yield "dataset", source.missing()

    def inputs(self, folder: str) -> dict[str, dict[str, Path]]:
        """Return the plays, by their names."""
        return {"dataset": self._plays()}

    def load(self, seed: int, folder: str = ".") -> Partitioned:
        """Read the plays; roles are numbered play by play, in the order in which they first speak."""
        said = (speeches(_text(path)).values() for path in self._plays().values())
        texts = [text for play in said for text in play if len(text) >= self.min_characters]
        if not texts:
            raise ScenarioError(f"data.min_characters: no role says as many as {self.min_characters} characters")
        parts, size = numbered(texts)
        if self.clients is not None:
            if self.clients > len(parts):
                told = f"{len(parts)} roles have at least {self.min_characters} characters"
                raise ScenarioError(f"data.clients: {self.clients} given, and {told}")
            chosen = np.sort(stream(seed, "data.clients").permutation(len(parts))[: self.clients])
            parts = [parts[role] for role in chosen]
        windows = Windows(self.window, self.stride or self.window, self.test_fraction)
        return windows.cut(parts, size, "shakespeare")

    def _plays(self) -> dict[str, Path]:
        source = catalogue()[self.dataset]
        if not source.is_here:
            raise ScenarioError(f"data.dataset: {source.missing()}")
        return {name.removesuffix(".txt"): source.folder / name for name in source.files}


def _text(path: Path) -> str:
    return read(path).decode("latin-1").replace("\r\n", "\n")
