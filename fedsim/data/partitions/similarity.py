"""A share of the examples at random, the rest by label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from fedsim.core.rng import stream
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import Ints, by_label, must_suffice


@dataclass(frozen=True, kw_only=True)
class Similarity(Dealing):
    """A share of the examples is dealt at random; the rest is sorted by label and cut into one block a client.

    Karimireddy et al., "SCAFFOLD: stochastic controlled averaging for federated learning", ICML 2020, section 7 ("s %
    similar data"). Sizes are equal to within one. Client 0 has the first block, so the smallest labels: where processes
    or speeds go by the clients' numbers too (`groups`, `two_level`), presence correlates with labels.
    """

    kind: Literal["similarity"] = "similarity"
    share: Annotated[float, Ge(0), Le(1)]
    """Share of each client's examples that is dealt at random: 1 is iid, 0 is sorted."""

    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,)."""
        count = len(labels)
        must_suffice(count, clients, 1)
        alike = round(self.share * count)
        shuffled = stream(seed, "partition.similarity").permutation(count)
        rest = np.ones(count, bool)
        rest[shuffled[:alike]] = False
        order = by_label(labels, seed)
        ids = np.arange(clients)
        block = (count - alike) // clients + (ids < (count - alike) % clients)
        whole = count // clients + (ids < count % clients)
        owners = np.empty(count, np.int64)
        owners[order[rest[order]]] = np.repeat(ids, block)
        owners[shuffled[:alike]] = np.repeat(ids, whole - block)
        return owners

    @property
    def by_label(self) -> bool:
        """It looks at labels."""
        return True
