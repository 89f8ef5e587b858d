"""Label skew with sizes that are nearly equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt

from fedsim.core.contracts import Vector
from fedsim.core.rng import stream
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import Ints, by_label, must_suffice, top_up


@dataclass(frozen=True, kw_only=True)
class LabelShares(Dealing):
    """Label skew with nearly equal sizes: each client draws shares of the labels, each label is cut in proportion.

    Wang and Ji, "A lightweight method for tackling unknown participation statistics in federated averaging", ICLR
    2024, and their code. Client i draws kappa_i ~ Dirichlet(alpha 1_C). Of the n_c examples of label c, in random
    order, clients 1..i have the first round(n_c (kappa_1c + ... + kappa_ic) / (kappa_1c + ... + kappa_Nc)). Each
    kappa_i sums to 1, so that sizes are near n / N: some 150 to 280 at N = 250 and alpha = 0.1 on CIFAR-10's counts,
    where `dirichlet` gives 1 to some 1,500.

    >>> shares = np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]])
    >>> shared_out(np.array([0, 1, 0, 1, 0, 0]), shares, order=np.array([0, 2, 4, 5, 1, 3])).tolist()
    [0, 1, 0, 2, 1, 2]
    """

    kind: Literal["label_shares"] = "label_shares"
    alpha: Annotated[float, Gt(0)]
    """Concentration: 0.1 gives most clients one or two labels, 100 is close to iid."""
    min_examples: Annotated[int, Ge(1)] = 1
    """A client below this receives random examples of the clients that have most."""

    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,)."""
        must_suffice(len(labels), clients, self.min_examples)
        classes = int(labels.max()) + 1
        shares = stream(seed, "partition.label_shares").dirichlet(np.full(classes, self.alpha), clients)
        return top_up(shared_out(labels, shares, by_label(labels, seed)), clients, self.min_examples, seed)

    @property
    def by_label(self) -> bool:
        """It looks at labels."""
        return True

    @property
    def least(self) -> int:
        """The examples that each client is sure to have."""
        return self.min_examples


def shared_out(labels: Ints, shares: Vector, order: Ints) -> Ints:
    """Return the client of each example (n,), each label cut at its column of the clients' shares (N, C).

    `order` are the examples sorted by label. A label that nobody has a share of (all underflowed) is cut evenly.
    """
    totals = shares.sum(axis=0)
    shares = np.where(totals > 0, shares, 1.0)
    upto = np.cumsum(shares, axis=0) / shares.sum(axis=0)
    upto[-1] = 1.0
    owners = np.empty(len(labels), np.int64)
    start = 0
    for label, count in enumerate(np.bincount(labels, minlength=shares.shape[1]).tolist()):
        ends = np.rint(count * upto[:, label]).astype(np.int64)
        owners[order[start : start + count]] = np.repeat(np.arange(len(shares)), np.diff(ends, prepend=0))
        start += count
    return owners
