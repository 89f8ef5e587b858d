"""Number formats of client memories: float32 as it is, bfloat16 at half the space, int8 at a quarter.

int8 keeps a row as q in -127..127 and one float32 scale s = max |x| / 127. Rounding is stochastic, q = floor(x/s + u)
with u uniform on [0, 1), so that s q is x on average (Alistarh et al., "QSGD", NeurIPS 2017, section 3.1, with the
largest entry in place of the norm). u is drawn for (seed, name, round; client, coordinate): the same bits wherever a
client is, and however often it is asked.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fedsim.core import rng

Rows = npt.NDArray[np.float32]
Stored = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
MemoryType = Literal["float32", "bfloat16", "int8"]

KINDS: dict[MemoryType, str] = {"float32": "<f4", "bfloat16": "<u2", "int8": "|u1"}
SCALE_BYTES = 4


def to_bfloat16(values: Rows) -> npt.NDArray[np.uint16]:
    """Round float32 to bfloat16 (nearest, ties to even), as its 16 bits.

    >>> from_bfloat16(to_bfloat16(np.array([1.0, 1.00390625, 3.14159], np.float32))).tolist()
    [1.0, 1.0, 3.140625]
    """
    raw = values.view(np.uint32)
    return ((raw + np.uint32(0x7FFF) + ((raw >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def from_bfloat16(stored: npt.NDArray[np.uint16]) -> Rows:
    """Widen bfloat16 bits to float32, exactly."""
    return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_int8(values: Rows, key: int, clients: Ids) -> npt.NDArray[np.uint8]:
    """Round rows (C, d) to (C, 4 + d) bytes, the scale first; `key` and the clients (C,) decide what is drawn.

    >>> from_int8(to_int8(np.array([[0.0, 127.0, -5.0]], np.float32), 7, np.array([3]))).tolist()
    [[0.0, 127.0, -5.0]]
    """
    scales = (np.abs(values).max(axis=1, initial=0.0) / np.float32(127)).astype(np.float32)
    drawn = rng.uniforms(key, clients[:, None], np.arange(values.shape[1])[None, :])
    ratios = np.divide(values, scales[:, None], out=np.zeros(values.shape), where=scales[:, None] > 0)
    whole = np.clip(np.floor(ratios + drawn), -127, 127).astype(np.int8)
    return np.concatenate([scales[:, None].view(np.uint8), whole.view(np.uint8)], axis=1)


def from_int8(stored: npt.NDArray[np.uint8]) -> Rows:
    """Widen stored rows (C, 4 + d) to float32 (C, d)."""
    scales = np.ascontiguousarray(stored[:, :SCALE_BYTES]).view(np.float32)
    return stored[:, SCALE_BYTES:].view(np.int8) * scales


class Format:
    """How rows of d numbers are kept."""

    def __init__(self, dtype: MemoryType, size: int, seed: int, name: str) -> None:
        self.dtype = dtype
        self.kind = np.dtype(KINDS[dtype])
        self.width = size + (SCALE_BYTES if dtype == "int8" else 0)
        self._seed, self._purpose = seed, f"memory {name}"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.width * self.kind.itemsize

    def encode(self, rows: Rows, clients: Ids, round: int) -> Stored:
        """Return rows (C, d) as they are kept, (C, width)."""
        if self.dtype == "float32":
            return rows
        if self.dtype == "bfloat16":
            return to_bfloat16(np.ascontiguousarray(rows))
        return to_int8(rows, rng.digest(self._seed, self._purpose, round), clients)

    def decode(self, stored: Stored) -> Rows:
        """Return kept rows (C, width) as float32 (C, d)."""
        if self.dtype == "float32":
            return stored
        return from_bfloat16(stored) if self.dtype == "bfloat16" else from_int8(stored)

    def rounded(self, rows: Rows, clients: Ids, round: int) -> Rows:
        """Return rows (C, d) as they will be read again."""
        return rows if self.dtype == "float32" else self.decode(self.encode(rows, clients, round))


def row_bytes(size: int, dtype: MemoryType) -> int:
    """Bytes of one client's memory of `size` parameters."""
    return Format(dtype, size, 0, "").row_bytes
