"""Size skew by log-normal draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core.rng import stream
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import Ints, cut, must_suffice, top_up


@dataclass(frozen=True, kw_only=True)
class Quantity(Dealing):
    """Size skew: labels at random, client sizes in proportion to log-normal draws exp(sigma z), z ~ N(0, 1)."""

    kind: Literal["quantity"] = "quantity"
    sigma: Annotated[float, Ge(0)] = 1.0
    """Standard deviation of the log of a client's size; 0 is equal sizes."""
    min_examples: Annotated[int, Ge(1)] = 1
    """A client below this receives random examples of the clients that have most."""

    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,)."""
        must_suffice(len(labels), clients, self.min_examples)
        logs = self.sigma * stream(seed, "partition.quantity").standard_normal(clients)
        sizes = np.exp(logs - logs.max())
        owners = np.empty(len(labels), np.int64)
        owners[stream(seed, "partition.shuffle").permutation(len(labels))] = cut(len(labels), sizes / sizes.sum())
        return top_up(owners, clients, self.min_examples, seed)

    @property
    def least(self) -> int:
        """The examples that each client is sure to have."""
        return self.min_examples
