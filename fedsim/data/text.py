"""The dataset `text`: the next character, or token, of a text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Lt, MinLen

from fedsim.core import ScenarioError
from fedsim.core.config.inputs import InputPath, place_of
from fedsim.data.partitioned import Partitioned
from fedsim.data.reading.windows import Ints, Windows, numbered


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text, whose next character is to be learnt; or token ids of your own, in a .npy file.

    An example is a window of tokens (T,), its target the same window one token later. Every distinct character is a
    token, numbered in their order. Clients hold parts of the text that follow each other.
    """

    dataset: Literal["text"] = "text"
    path: InputPath
    """A text in UTF-8, or a .npy file with token ids, whole numbers of shape (n,); relative to the scenario file."""
    window: Annotated[int, Ge(1)] = 32
    """T, the tokens of an example."""
    stride: Annotated[int, Ge(1)] | None = None
    """Tokens from the start of one window to that of the next; the default is `window`: they do not overlap."""
    clients: Annotated[int, Ge(1)] | None = None
    """How many clients share the text, in parts of the same length; with `client` they are counted."""
    client: Annotated[str, MinLen(1)] | None = None
    """What stands between the parts of two clients, e.g. a line of dashes; it is no part of the text."""
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """The end of each client's part, held out for the global evaluation; no window reaches over the cut."""

    @property
    def num_clients(self) -> int | None:
        """N, or None when only the file knows it."""
        return self.clients

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that do not fit together."""
        if self.clients is None and self.client is None:
            yield "clients", "say how many clients share the text, or what stands between their parts (`client`)"
        if self.client is not None and self._holds_ids:
            yield "client", "is for texts; token ids are shared in parts of the same length, by `clients`"

    def problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when the file is not there."""
        path = place_of(self.path, folder)
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "is not there"
            yield "path", f"{path} {kind}; expected a text in UTF-8, or token ids in a .npy file"

    def load(self, seed: int, folder: str = ".") -> Partitioned:
        """Read the file and cut it into windows."""
        for key, message in self.problems_in(folder):
            raise ScenarioError(f"data.{key}: {message}")
        path = place_of(self.path, folder)
        parts, size = (self._ids if self._holds_ids else self._characters)(path)
        if self.clients not in (None, len(parts)):
            raise ScenarioError(
                f"data.clients: {self.clients} given, but {path} has {len(parts)} parts with {self.client!r} between "
                "them; clients may be left out here"
            )
        return Windows(self.window, self.stride or self.window, self.test_fraction).cut(parts, size, str(path))

    @property
    def _holds_ids(self) -> bool:
        return self.path.lower().endswith(".npy")

    def _characters(self, path: Path) -> tuple[list[Ints], int]:
        """Return the tokens of each client, and how many different ones there are."""
        try:
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ScenarioError(f"data.path: {path} cannot be read as UTF-8: {error}") from error
        texts = [part.strip("\r\n") for part in text.split(self.client)] if self.client else [text]
        texts = [part for part in texts if part]
        if not texts:
            raise ScenarioError(f"data.path: {path} is empty")
        tokens, size = numbered(texts)
        return tokens if self.client else self._shared(tokens[0]), size

    def _ids(self, path: Path) -> tuple[list[Ints], int]:
        try:
            ids: npt.NDArray[Any] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ScenarioError(f"data.path: {path} cannot be read: {error}") from error
        if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or ids.ndim != 1 or not len(ids):
            got = f"{ids.dtype} of shape {ids.shape}" if isinstance(ids, np.ndarray) else "several arrays"
            raise ScenarioError(f"data.path: {path} should hold token ids, whole numbers of shape (n,), got {got}")
        if ids.min() < 0:
            raise ScenarioError(f"data.path: {path}: token ids start at 0, the least here is {ids.min()}")
        return self._shared(ids.astype(np.int64)), int(ids.max()) + 1

    def _shared(self, tokens: Ints) -> list[Ints]:
        """Return parts of the same length, to within one token."""
        assert self.clients is not None, "told by problems"
        ends = np.arange(1, self.clients) * len(tokens) // self.clients
        return np.split(tokens, ends)
