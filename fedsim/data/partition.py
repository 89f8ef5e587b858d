"""How examples are dealt to clients: every example to exactly one client, every client at least one example.

A partition is a pure function of (labels, number of clients, seed) that names the owner of each example. Nothing
loops until it is lucky: where a law leaves a client short, examples move there from the best-off clients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt

from fedsim.core import ScenarioError
from fedsim.core.rng import stream
from fedsim.core.tagged import Tagged

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Iid:
    """Examples dealt at random, the same number to each client (to within one)."""

    kind: Literal["iid"] = "iid"

    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,)."""
        _must_suffice(len(labels), clients, 1)
        owners = np.empty(len(labels), np.int64)
        owners[stream(seed, "partition.iid").permutation(len(labels))] = np.arange(len(labels)) % clients
        return owners


@dataclass(frozen=True, kw_only=True)
class Dirichlet:
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
        _must_suffice(len(labels), clients, self.min_examples)
        order = _by_label(labels, seed)
        owners = np.empty(len(labels), np.int64)
        start = 0
        for label, count in enumerate(np.bincount(labels).tolist()):
            if count:
                shares = stream(seed, "partition.dirichlet", label).dirichlet(np.full(clients, self.alpha))
                owners[order[start : start + count]] = _cut(count, shares)
                start += count
        return _top_up(owners, clients, self.min_examples, seed)


@dataclass(frozen=True, kw_only=True)
class Shards:
    """Examples sorted by label and cut into equal shards, `per_client` of them dealt to each client at random.

    McMahan et al., "Communication-efficient learning of deep networks from decentralized data", AISTATS 2017,
    section 3 (there: 2 shards each).
    """

    kind: Literal["shards"] = "shards"
    per_client: Annotated[int, Ge(1)] = 2
    """Shards of each client: about the number of labels that it sees."""

    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,)."""
        _must_suffice(len(labels), clients, self.per_client)
        shards = clients * self.per_client
        dealt = stream(seed, "partition.shards").permutation(shards) % clients
        owners = np.empty(len(labels), np.int64)
        owners[_by_label(labels, seed)] = dealt[np.arange(len(labels)) * shards // len(labels)]
        return owners


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Size skew: labels at random, client sizes in proportion to log-normal draws exp(sigma z), z ~ N(0, 1)."""

    kind: Literal["quantity"] = "quantity"
    sigma: Annotated[float, Ge(0)] = 1.0
    """Standard deviation of the log of a client's size; 0 is equal sizes."""
    min_examples: Annotated[int, Ge(1)] = 1
    """A client below this receives random examples of the clients that have most."""

    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,)."""
        _must_suffice(len(labels), clients, self.min_examples)
        logs = self.sigma * stream(seed, "partition.quantity").standard_normal(clients)
        sizes = np.exp(logs - logs.max())
        owners = np.empty(len(labels), np.int64)
        owners[stream(seed, "partition.shuffle").permutation(len(labels))] = _cut(len(labels), sizes / sizes.sum())
        return _top_up(owners, clients, self.min_examples, seed)


@dataclass(frozen=True, kw_only=True)
class Natural:
    """The clients of the data themselves: one for each distinct value of a column of the file.

    Clients are numbered by their sorted values: the smallest is client 0.
    """

    kind: Literal["natural"] = "natural"
    column: str = "client"
    """The array of the file that says whose each example is."""

    def number(self, values: npt.NDArray[Any]) -> Ints:
        """Return the client of each example, shape (n,), from the column's values."""
        return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)


IID = Iid()
"""The default partition."""

Partition = Annotated[Iid | Dirichlet | Shards | Quantity, Tagged("kind")]
"""Ways to deal pooled examples to clients."""

AnyPartition = Annotated[Iid | Dirichlet | Shards | Quantity | Natural, Tagged("kind")]
"""The same, for data that may say whose each example is."""


def partitions() -> dict[str, type]:
    """Return the config class of each partition by its `kind`."""
    return Tagged("kind").members(Iid | Dirichlet | Shards | Quantity | Natural)


def least_examples(partition: Iid | Dirichlet | Shards | Quantity | Natural) -> int:
    """Return how many examples each client is sure to have: what N clients need is N times that."""
    if isinstance(partition, Dirichlet | Quantity):
        return partition.min_examples
    return partition.per_client if isinstance(partition, Shards) else 1


def group(owners: Ints, clients: int) -> tuple[Ints, Ints]:
    """Return (order, offsets): example indices sorted by owner, and where each client's begin, shape (N + 1,).

    >>> group(np.array([1, 0, 1]), clients=2)
    (array([1, 0, 2]), array([0, 1, 3]))
    """
    offsets = np.zeros(clients + 1, np.int64)
    np.cumsum(np.bincount(owners, minlength=clients), out=offsets[1:])
    return np.argsort(owners, kind="stable"), offsets


def _must_suffice(examples: int, clients: int, least: int) -> None:
    if examples < clients * least:
        raise ScenarioError(
            f"data.clients: {clients} clients with at least {least} each need {clients * least} training examples, "
            f"and there are {examples}"
        )


def _by_label(labels: Ints, seed: int) -> Ints:
    """Return the indices sorted by label, shuffled inside each label."""
    shuffled = stream(seed, "partition.shuffle").permutation(len(labels))
    return shuffled[np.argsort(labels[shuffled], kind="stable")]


def _cut(count: int, shares: npt.NDArray[np.float64]) -> Ints:
    """Return the owner of each of `count` places when [0, 1] is cut in proportion to `shares`."""
    places = (np.arange(count) + 0.5) / count
    return np.minimum(np.searchsorted(np.cumsum(shares), places, side="right"), len(shares) - 1).astype(np.int64)


def _top_up(owners: Ints, clients: int, least: int, seed: int) -> Ints:
    """Move examples from the best-off clients until each has `least`; the donors end level (to within one)."""
    counts = np.bincount(owners, minlength=clients)
    missing = np.maximum(least - counts, 0)
    needed = int(missing.sum())
    if needed == 0:
        return owners
    low, high = least, int(counts.max())  # the highest level at which what stands above it is enough
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.maximum(counts - middle, 0).sum() >= needed else (low, middle - 1)
    kept = np.minimum(counts, low)
    spare = int((counts - kept).sum()) - needed
    kept[np.flatnonzero(counts > low)[:spare]] += 1

    shuffled = stream(seed, "partition.top_up").permutation(len(owners))
    order = shuffled[np.argsort(owners[shuffled], kind="stable")]
    rank = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    given = order[rank >= np.repeat(kept, counts)]
    moved = owners.copy()
    moved[stream(seed, "partition.gifts").permutation(given)] = np.repeat(np.arange(clients), missing)
    return moved
