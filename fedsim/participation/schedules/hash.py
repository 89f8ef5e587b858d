"""One number for who was scheduled when: sha256 over the bit-packed rows of rounds 1, 2, ..., R."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import numpy.typing as npt

from fedsim.core import Process
from fedsim.core.contracts import Ids


def packed_row(cohort: Ids, num_clients: int) -> npt.NDArray[np.uint8]:
    """Return a cohort as ceil(N/8) bytes: the bit of client 8j + b is bit 7 - b of byte j (numpy.packbits).

    >>> packed_row(np.array([0, 2, 9]), 10).tolist()
    [160, 64]
    """
    present = np.zeros(num_clients, bool)
    present[cohort] = True
    return np.packbits(present)


class ScheduleHash:
    """The hash of a schedule, fed round by round in order.

    >>> process_hash = ScheduleHash(3)
    >>> process_hash.update(np.array([0, 2]))
    >>> process_hash.hexdigest() == sha256(bytes([0b10100000])).hexdigest()
    True
    """

    def __init__(self, num_clients: int) -> None:
        self.num_clients = num_clients
        self._digest = sha256()

    def update(self, cohort: Ids) -> None:
        """Add the next round's cohort."""
        self._digest.update(packed_row(cohort, self.num_clients).tobytes())

    def hexdigest(self) -> str:
        """Return the hash of the rounds so far; more may follow."""
        return self._digest.hexdigest()


def hash_so_far(process: Process, rounds: int) -> ScheduleHash:
    """Return the hash after rounds 1..`rounds`, ready for more: what a resumed run goes on with."""
    found = ScheduleHash(process.num_clients)
    for round in range(1, rounds + 1):
        found.update(process.cohort(round))
    return found


def schedule_hash(process: Process, rounds: int) -> str:
    """Return the hash of rounds 1..`rounds`, the `schedule_hash` of a run and the `hash` of a schedule file."""
    return hash_so_far(process, rounds).hexdigest()
