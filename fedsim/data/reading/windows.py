"""From the texts of clients to examples: characters as numbers, and windows whose target is themselves, one later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedsim.core import ScenarioError
from fedsim.data.partitioned import Partitioned, pool

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """How the tokens of a client become examples.

    Attributes
    ----------
    window : T, the tokens of an example. stride : from the start of one to that of the next. test_fraction : the end of
        each client's tokens, held out for the global evaluation; no window reaches over the cut.
    """

    window: int
    stride: int
    test_fraction: float

    def cut(self, parts: Sequence[Ints], size: int, source: str) -> Partitioned:
        """Return the windows of each client's tokens, which are numbers below `size`; errors name their `source`.

        Raises
        ------
        ScenarioError : a client has none to train on, or there are none to test on.
        """
        kept, held = zip(*(self._both(part, number, source) for number, part in enumerate(parts)), strict=True)
        if not sum(map(len, held)):
            raise ScenarioError(
                f"data.test_fraction: {self.test_fraction} of each client's part leaves none that holds a window of "
                f"{self.window} tokens and the one after it"
            )
        owners = np.repeat(np.arange(len(kept)), [len(windows) for windows in kept])
        (x, y), test = _shifted(np.concatenate(kept)), _shifted(np.concatenate(held))
        return pool(x, y, owners, len(kept), size, test=test)

    def _both(self, part: Ints, number: int, source: str) -> tuple[Ints, Ints]:
        """Return the windows of one client to train on and those held out, each one token longer: (n, T + 1)."""
        train = len(part) - int(len(part) * self.test_fraction)
        kept, held = self._windows(part[:train]), self._windows(part[train:])
        if not len(kept):
            raise ScenarioError(
                f"data.window: client {number} has {len(part)} tokens of {source}, {train} of them to train on: fewer "
                f"than a window of {self.window} and the token after it"
            )
        return kept, held

    def _windows(self, tokens: Ints) -> Ints:
        if len(tokens) <= self.window:
            return np.zeros((0, self.window + 1), np.int64)
        return np.lib.stride_tricks.sliding_window_view(tokens, self.window + 1)[:: self.stride]


def numbered(texts: Sequence[str]) -> tuple[list[Ints], int]:
    """Return each text as numbers of its characters, and how many there are; every distinct one has its place in order.

    >>> [part.tolist() for part in numbered(["ca", "b"])[0]]
    [[2, 0], [1]]
    """
    codes = [_codes(text) for text in texts]
    alphabet = np.unique(np.concatenate(codes))
    return [np.searchsorted(alphabet, part).astype(np.int64) for part in codes], len(alphabet)


def _codes(text: str) -> Ints:
    """Return the characters' code points.

    >>> _codes("az").tolist()
    [97, 122]
    """
    return np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.int64)


def _shifted(windows: Ints) -> tuple[Ints, Ints]:
    """Return windows without their last token, and without their first."""
    return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, 1:])
