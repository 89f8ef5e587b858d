"""Boards: memory that processes of one machine share, for what is large in a round.

Ray's object store needs milliseconds to make, announce and find an object of any size; to copy a model into memory
that its reader has mapped already takes a fraction of one. Each process writes on a board of its own, anew in every
round, and reads the others'. A board is anonymous memory, found by its owner's process and file number: it has no name
that could be left behind, and ends with the processes that hold it, however they end. Linux only; elsewhere there are
no boards.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64
_edition = count()


@dataclass(frozen=True)
class Posted:
    """Where an array stands: on whose board (process, file, which edition of it, bytes), and from which byte on."""

    process: int
    file: int
    edition: int
    capacity: int
    offset: int
    dtype: str
    shape: tuple[int, ...]


class SharedMemory:
    """Memory that this process writes on and others read.

    >>> board, reader = SharedMemory(), Reader()
    >>> first, second = board.write([np.arange(3.0), np.zeros((2, 2), np.float32)])
    >>> reader.read(first).tolist(), reader.read(second).shape
    ([0.0, 1.0, 2.0], (2, 2))
    >>> board.close()
    """

    def __init__(self) -> None:
        self._file = self._edition = -1
        self._memory: mmap.mmap | None = None

    def write(self, arrays: Sequence[npt.NDArray[Any]]) -> list[Posted]:
        """Write arrays in place of what stood there; return where each stands."""
        ends = np.cumsum([0, *(-(-array.nbytes // ALIGNMENT) * ALIGNMENT for array in arrays)]).tolist()
        self._make_room(ends[-1])
        assert self._memory is not None
        capacity, found = len(self._memory), []
        for array, (first, _) in zip(arrays, pairwise(ends), strict=True):
            target = np.frombuffer(self._memory, array.dtype, array.size, first)
            np.copyto(target.reshape(array.shape), array)
            found.append(Posted(os.getpid(), self._file, self._edition, capacity, first, array.dtype.str, array.shape))
        return found

    def close(self) -> None:
        """Give the memory back; readers keep what they have mapped."""
        if self._memory is not None:
            self._memory.close()
            os.close(self._file)
            self._memory = None

    def _make_room(self, size: int) -> None:
        if self._memory is not None and size <= len(self._memory):
            return
        self.close()
        self._file, self._edition = os.memfd_create("fedsim"), next(_edition)
        os.ftruncate(self._file, max(size, mmap.PAGESIZE))
        self._memory = mmap.mmap(self._file, 0)


class Reader:
    """The boards of other processes, each mapped once."""

    def __init__(self) -> None:
        self._boards: dict[int, tuple[int, mmap.mmap]] = {}

    def read(self, posted: Posted) -> npt.NDArray[Any]:
        """Return the array, read-only and without a copy: it holds until its owner writes again.

        Raises
        ------
        OSError, ValueError : the board cannot be reached from here.
        """
        edition, memory = self._boards.get(posted.process, (-1, None))
        if memory is None or edition != posted.edition:
            file = os.open(f"/proc/{posted.process}/fd/{posted.file}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                memory = mmap.mmap(file, posted.capacity, prot=mmap.PROT_READ)
            finally:
                os.close(file)
            self._boards[posted.process] = posted.edition, memory
        size = int(np.prod(posted.shape, dtype=np.int64))
        return np.frombuffer(memory, np.dtype(posted.dtype), size, posted.offset).reshape(posted.shape)

    def forget(self, process: int) -> None:
        """Let go of a process's board."""
        self._boards.pop(process, None)


def available() -> bool:
    """Return whether this system has boards."""
    return hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd")
