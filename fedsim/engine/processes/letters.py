"""What goes from process to process: pickled, and what is large in it beside, on the sender's board.

A letter's arrays are pickled out of band (protocol 5). Those that are large stand on a board in shared memory, once for
all letters that hold them, and are read there without a copy; the others travel inside the letter, as all do where
there are no boards.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.engine.nodes.shared_memory import Posted, Reader, SharedMemory, available

INLINE_BYTES = 16_384
"""Arrays up to this size travel inside the letter."""

Bytes = npt.NDArray[np.uint8]
Place = tuple[int, int]
"""Where an array lies in its process, and how long it is."""


@dataclass(frozen=True)
class Letter:
    """A pickled value: its body, and its arrays in order, each as bytes or as the place on a board where it stands."""

    body: bytes
    arrays: tuple[Posted | bytes, ...]

    def read(self, reader: Reader, *, copy: bool = False) -> Any:
        """Return the value. Its arrays hold until the board is written again, or for good when they are a `copy`.

        Raises
        ------
        OSError, ValueError : the board of a process that has ended cannot be read any more.
        """
        buffers: list[Any] = [one if isinstance(one, bytes) else reader.read(one) for one in self.arrays]
        return pickle.loads(self.body, buffers=[bytes(one) for one in buffers] if copy else buffers)


class Post:
    """Writes letters; the large arrays of all letters of one `write` stand on the board together.

    >>> post, reader = Post(), Reader()
    >>> same = np.arange(10_000.0)
    >>> first, second = post.write([("a", same), ("b", same)])
    >>> first.arrays == second.arrays, first.read(reader)[1].sum(), post.again(("c", same)).arrays == first.arrays
    (True, np.float64(49995000.0), True)
    >>> post.close()
    """

    def __init__(self) -> None:
        self._board = SharedMemory() if available() else None
        self._posted: dict[Place, Posted] = {}
        self._held: list[Bytes] = []

    def write(self, values: Sequence[Any], dumps: Callable[..., bytes] = pickle.dumps) -> list[Letter]:
        """Return a letter for each value; those of an earlier `write` cannot be read any more."""
        taken = [_pickled(value, dumps) for value in values]
        large = {_place(one): one for _, arrays in taken for one in arrays if one.nbytes > INLINE_BYTES}
        self._posted, self._held = {}, list(large.values())  # held, so that no place is given to another array
        if large and self._board is not None:
            self._posted = dict(zip(large, self._board.write(self._held), strict=True))
        return [self._letter(body, arrays) for body, arrays in taken]

    def again(self, value: Any) -> Letter:
        """Return one more letter, without touching the board: what stands there already is pointed to."""
        return self._letter(*_pickled(value, pickle.dumps))

    def _letter(self, body: bytes, arrays: Sequence[Bytes]) -> Letter:
        return Letter(body, tuple(self._posted.get(_place(one)) or one.tobytes() for one in arrays))

    def close(self) -> None:
        """Give the board's memory back."""
        self._posted, self._held = {}, []
        if self._board is not None:
            self._board.close()


def _pickled(value: Any, dumps: Callable[..., bytes]) -> tuple[bytes, list[Bytes]]:
    buffers: list[pickle.PickleBuffer] = []
    body = dumps(value, protocol=5, buffer_callback=buffers.append)
    return body, [np.frombuffer(one.raw(), np.uint8) for one in buffers]


def _place(array: Bytes) -> Place:
    return array.__array_interface__["data"][0], array.nbytes
