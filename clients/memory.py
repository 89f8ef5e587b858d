"""Client memories h_i of one node: the last delta of every client seen, kept where the clients live.

A round's writes go to free rows first and stay *pending*: a message for a later round commits them, a second message
for the same round discards them and reads the old memories. So a repeated call cannot count twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.clients.formats import Format, Ids, MemoryType, Rows

BLOCK_BYTES, BLOCK_ROWS = 16 * 2**20, 4096
"""Memories grow by blocks of this size, or of this many rows where rows are small."""


class Memory:
    """The memories of one node's clients; only clients that have been seen take space.

    Parameters
    ----------
    size : number of parameters d.
    dtype : float32, bfloat16 at half the space, or int8 at a quarter.
    path : a file to map instead of anonymous memory (`tier: disk`); None keeps rows in memory.
    seed, name : what the rounding of int8 is drawn for, beside round, client and coordinate.
    """

    def __init__(
        self,
        size: int,
        dtype: MemoryType = "float32",
        path: Path | None = None,
        *,
        seed: int = 0,
        name: str = "delta",
    ) -> None:
        self.size = size
        self.path = path
        self._format = Format(dtype, size, seed, name)
        self._rows_per_block = min(BLOCK_ROWS, max(1, BLOCK_BYTES // max(1, self._format.row_bytes)))
        self._blocks: list[npt.NDArray[Any]] = []
        self._free: list[int] = []
        self._slots: dict[int, int] = {}
        self._pending: dict[int, int] = {}
        self._round = 0

    @property
    def num_clients(self) -> int:
        """Clients seen in committed rounds."""
        return len(self._slots)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, pending and free ones included."""
        return len(self._blocks) * self._rows_per_block * self._format.row_bytes

    def open(self, round: int) -> None:
        """Start writing `round`: commit what an earlier round left, discard what this round left before."""
        if round == self._round:
            self._free.extend(self._pending.values())
            self._pending = {}
        else:
            self.commit()
            self._round = round

    def commit(self) -> None:
        """Make the pending writes the memories."""
        for client, slot in self._pending.items():
            old = self._slots.get(client)
            if old is not None:
                self._free.append(old)
            self._slots[client] = slot
        self._pending = {}

    def stored(self, clients: Ids, deltas: Rows) -> Rows:
        """Return the clients' deltas as the memory will hold them."""
        return self._format.rounded(deltas, clients, self._round)

    def read(self, clients: Ids) -> tuple[npt.NDArray[np.int64], Rows]:
        """Return the places (into `clients`) of those with a memory, and their rows (k, d), as committed."""
        slots = [self._slots.get(client, -1) for client in clients.tolist()]
        places = np.flatnonzero(np.array(slots, np.int64) >= 0)
        known = [slot for slot in slots if slot >= 0]
        inside = self._together(known)
        if inside is not None:
            stored = self._blocks[0][inside]
        else:
            stored = np.empty((len(known), self._format.width), self._format.kind)
            for row, slot in enumerate(known):
                stored[row] = self._row(slot)
        return places, self._format.decode(stored)

    def write(self, clients: Ids, deltas: Rows) -> None:
        """Note the clients' deltas (k, d) as pending for the open round."""
        slots = [self._free.pop() if self._free else self._grow() for _ in range(len(clients))]
        encoded, inside = self._format.encode(deltas, clients, self._round), self._together(slots)
        if inside is not None:
            self._blocks[0][inside] = encoded
        else:
            for slot, stored in zip(slots, encoded, strict=True):
                self._row(slot)[:] = stored
        self._pending.update(zip(clients.tolist(), slots, strict=True))

    def _together(self, slots: list[int]) -> npt.NDArray[np.int64] | None:
        """Return places in the first block when all rows are short and lie there, so that one call moves them all."""
        if len(self._blocks) != 1 or self._rows_per_block < BLOCK_ROWS:
            return None
        return np.array(slots, np.int64)

    def settle(self, round: int) -> None:
        """Leave the memories as they were after `round`: commit its writes, or discard those of a later one."""
        if self._round > round:
            self.open(self._round)
            self._round = round
        else:
            self.commit()

    def items(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Yield (client, stored row) in ascending order of clients; pending writes are committed first."""
        self.commit()
        for client in sorted(self._slots):
            yield client, self._row(self._slots[client])

    def save(self, folder: Path, stem: str) -> None:
        """Write the memories as two .npy files, STEM.ids.npy and STEM.rows.npy, row by row."""
        self.commit()
        np.save(folder / f"{stem}.ids.npy", np.array(sorted(self._slots), np.int64))
        with (folder / f"{stem}.rows.npy").open("wb") as file:
            shape = (self.num_clients, self._format.width)
            header = {"descr": self._format.kind.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            for _, row in self.items():
                file.write(row.tobytes())

    def load(self, folder: Path, stem: str, round: int) -> None:
        """Take the memories from what `save` wrote; those held before are forgotten. `round` is done."""
        self.clear()
        self._round = round
        rows = np.load(folder / f"{stem}.rows.npy", mmap_mode="r", allow_pickle=False)
        for client, stored in zip(np.load(folder / f"{stem}.ids.npy", allow_pickle=False), rows, strict=True):
            slot = self._free.pop() if self._free else self._grow()
            self._row(slot)[:] = stored
            self._slots[int(client)] = slot

    def clear(self) -> None:
        """Forget everybody."""
        self._free.extend([*self._slots.values(), *self._pending.values()])
        self._slots, self._pending, self._round = {}, {}, 0

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that is remembered as arrays, pending writes apart: what `take` understands."""
        known, pending = sorted(self._slots), sorted(self._pending)
        return {
            "round": np.array([self._round], np.int64),
            "ids": np.array(known, np.int64),
            "rows": self._stacked(self._slots[client] for client in known),
            "pending_ids": np.array(pending, np.int64),
            "pending_rows": self._stacked(self._pending[client] for client in pending),
        }

    def take(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take the memories from a `snapshot`; those held before are forgotten."""
        self.clear()
        self._round = int(snapshot["round"][0])
        for where, prefix in ((self._slots, ""), (self._pending, "pending_")):
            for client, stored in zip(snapshot[f"{prefix}ids"], snapshot[f"{prefix}rows"], strict=True):
                slot = self._free.pop() if self._free else self._grow()
                self._row(slot)[:] = stored
                where[int(client)] = slot

    def _stacked(self, slots: Iterable[int]) -> npt.NDArray[Any]:
        rows = [self._row(slot) for slot in slots]
        return np.stack(rows) if rows else np.zeros((0, self._format.width), self._format.kind)

    def weighted_sum(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return sum_i weights_i h_i (d,) afresh, clients ascending: the audit of a running mean."""
        total = np.zeros(self.size)
        for client, stored in self.items():
            total += weights[client] * self._format.decode(stored[None])[0]
        return total

    def _row(self, slot: int) -> npt.NDArray[Any]:
        row: npt.NDArray[Any] = self._blocks[slot // self._rows_per_block][slot % self._rows_per_block]
        return row

    def _grow(self) -> int:
        """Add a block and return one of its rows."""
        shape = (self._rows_per_block, self._format.width)
        if self.path is None:
            block: npt.NDArray[Any] = np.empty(shape, self._format.kind)
        else:
            length = self._rows_per_block * self._format.row_bytes
            offset = len(self._blocks) * length
            with self.path.open("ab") as file:
                file.truncate(offset + length)
            block = np.memmap(self.path, self._format.kind, "r+", offset, shape)
        first = len(self._blocks) * self._rows_per_block
        self._blocks.append(block)
        self._free.extend(range(first + self._rows_per_block - 1, first, -1))
        return first
