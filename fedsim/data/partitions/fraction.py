"""A share of the examples, dealt by another partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt, Le

from fedsim.core.rng import stream
from fedsim.data.partitions import IID, AnyDealing
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import NOBODY, Ints


@dataclass(frozen=True, kw_only=True)
class Fraction(Dealing):
    """round(share * n) of the training examples, drawn at random, are dealt by another partition; nobody has the rest.

    The test set stays whole. As FedStale's experiments use a fifth of MNIST: `{kind: fraction, share: 0.2, of: {kind:
    label_swap, share: 0.5}}`.
    """

    kind: Literal["fraction"] = "fraction"
    share: Annotated[float, Gt(0), Le(1)]
    """Share of the training examples that is used."""
    of: AnyDealing = IID
    """How they are dealt."""

    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,); NOBODY for those that are left out."""
        used = self._used(len(labels), seed)
        owners = np.full(len(labels), NOBODY, np.int64)
        owners[used] = self.of.owners(labels[used], clients, seed)
        return owners

    def relabelled(self, labels: Ints, owners: Ints, clients: int, seed: int) -> Ints:
        """Return the labels that the clients see, (n,)."""
        used = self._used(len(labels), seed)
        kept = labels[used]
        seen = self.of.relabelled(kept, owners[used], clients, seed)
        if seen is kept:
            return labels
        labels = labels.copy()
        labels[used] = seen
        return labels

    @property
    def by_label(self) -> bool:
        """Whether the inner partition looks at labels."""
        return self.of.by_label

    @property
    def least(self) -> int:
        """The examples that each client is sure to have."""
        return self.of.least

    def _used(self, count: int, seed: int) -> Ints:
        return np.sort(stream(seed, "partition.fraction").permutation(count)[: round(self.share * count)])
