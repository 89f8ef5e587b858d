"""Label skew by shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core.rng import stream
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import Ints, by_label, must_suffice


@dataclass(frozen=True, kw_only=True)
class Shards(Dealing):
    """Examples sorted by label and cut into equal shards, `per_client` of them dealt to each client at random.

    McMahan et al., "Communication-efficient learning of deep networks from decentralized data", AISTATS 2017,
    section 3 (there: 2 shards each).
    """

    kind: Literal["shards"] = "shards"
    per_client: Annotated[int, Ge(1)] = 2
    """Shards of each client: about the number of labels that it sees."""

    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,)."""
        must_suffice(len(labels), clients, self.per_client)
        shards = clients * self.per_client
        dealt = stream(seed, "partition.shards").permutation(shards) % clients
        owners = np.empty(len(labels), np.int64)
        owners[by_label(labels, seed)] = dealt[np.arange(len(labels)) * shards // len(labels)]
        return owners

    @property
    def by_label(self) -> bool:
        """It looks at labels."""
        return True

    @property
    def least(self) -> int:
        """The examples that each client is sure to have."""
        return self.per_client
