"""Label skew by Dirichlet draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt

from fedsim.core.rng import stream
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import Ints, by_label, cut, must_suffice, top_up


@dataclass(frozen=True, kw_only=True)
class Dirichlet(Dealing):
    """Label skew: the examples of each label are cut in proportion to a Dirichlet(alpha) draw over the clients.

    Yurochkin et al., "Bayesian nonparametric federated learning of neural networks", ICML 2019, section 4; the
    `Dir(alpha)` label imbalance of Li et al., "Federated learning on non-IID data silos", ICDE 2022.
    """

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: Annotated[float, Gt(0)]
    """Concentration: 0.1 gives most clients one or two labels, 100 is close to iid."""
    min_examples: Annotated[int, Ge(1)] = 1
    """A client below this receives random examples of the clients that have most."""

    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,)."""
        must_suffice(len(labels), clients, self.min_examples)
        order = by_label(labels, seed)
        owners = np.empty(len(labels), np.int64)
        start = 0
        for label, count in enumerate(np.bincount(labels).tolist()):
            if count:
                shares = stream(seed, "partition.dirichlet", label).dirichlet(np.full(clients, self.alpha))
                owners[order[start : start + count]] = cut(count, shares)
                start += count
        return top_up(owners, clients, self.min_examples, seed)

    @property
    def by_label(self) -> bool:
        """It looks at labels."""
        return True

    @property
    def least(self) -> int:
        """The examples that each client is sure to have."""
        return self.min_examples
