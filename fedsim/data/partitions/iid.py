"""Examples dealt at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedsim.core.rng import stream
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import Ints, must_suffice


@dataclass(frozen=True, kw_only=True)
class Iid(Dealing):
    """Examples dealt at random, the same number to each client (to within one)."""

    kind: Literal["iid"] = "iid"

    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,)."""
        must_suffice(len(labels), clients, 1)
        owners = np.empty(len(labels), np.int64)
        owners[stream(seed, "partition.iid").permutation(len(labels))] = np.arange(len(labels)) % clients
        return owners
