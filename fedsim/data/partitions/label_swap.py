"""Some clients see two labels exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from fedsim.core import ScenarioError
from fedsim.core.rng import stream
from fedsim.data.partitions import IID, AnyDealing
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import NOBODY, Ints


@dataclass(frozen=True, kw_only=True)
class LabelSwap(Dealing):
    """Two labels are exchanged at a share of the clients, round(share * N) of them; another partition deals.

    The heterogeneity of Rodio and Neglia, "FedStale: leveraging stale client updates in federated learning", ECAI 2024:
    the same images mean different things to different clients. What clients hold out for themselves (`test_per_client`)
    is exchanged too; the common test set is not.
    """

    kind: Literal["label_swap"] = "label_swap"
    share: Annotated[float, Ge(0), Le(1)]
    """Share of the clients at which two labels are exchanged."""
    labels: tuple[Annotated[int, Ge(0)], Annotated[int, Ge(0)]] | None = None
    """The two labels, counted from 0, the same everywhere; null: each of these clients draws a pair of its own."""
    who: Literal["drawn", "first", "last"] = "drawn"
    """Which clients: drawn by key, or those with the smallest or the largest numbers, as presence may go by these."""
    of: AnyDealing = IID
    """How the examples are dealt."""

    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,)."""
        return self.of.owners(labels, clients, seed)

    def relabelled(self, labels: Ints, owners: Ints, clients: int, seed: int) -> Ints:
        """Return the labels that the clients see, (n,).

        Raises
        ------
        ScenarioError : there is no such label, or only one.
        """
        labels = self.of.relabelled(labels, owners, clients, seed)
        classes = int(labels.max()) + 1
        if classes < 2:
            raise ScenarioError("data.partition.kind: label_swap exchanges two labels, and there is one")
        if self.labels is not None and max(self.labels) >= classes:
            text = f"label {max(self.labels)} does not exist (0 to {classes - 1})"
            raise ScenarioError(f"data.partition.labels: {text}")
        seen = np.tile(np.arange(classes), (clients + 1, 1))  # the last row is nobody's
        for client in self.swapped(clients, seed).tolist():
            first, second = self.labels or self._pair(client, classes, seed)
            seen[client, [first, second]] = second, first
        return seen[np.where(owners == NOBODY, clients, owners), labels]

    def swapped(self, clients: int, seed: int) -> Ints:
        """Return the clients that see two labels exchanged, ascending.

        >>> LabelSwap(share=0.5, who="last").swapped(5, seed=1).tolist()
        [3, 4]
        """
        count = round(self.share * clients)
        if self.who == "drawn":
            return np.sort(stream(seed, "partition.label_swap").permutation(clients)[:count])
        return np.arange(count) if self.who == "first" else np.arange(clients - count, clients)

    @property
    def by_label(self) -> bool:
        """It looks at labels."""
        return True

    @property
    def least(self) -> int:
        """The examples that each client is sure to have."""
        return self.of.least

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for two labels that are one."""
        if self.labels is not None and self.labels[0] == self.labels[1]:
            yield "labels", f"give two different labels, got {self.labels[0]} twice"

    def _pair(self, client: int, classes: int, seed: int) -> tuple[int, int]:
        """Return two different labels, each pair equally likely."""
        first, second = stream(seed, "partition.label_swap.pair", client).permutation(classes)[:2].tolist()
        return first, second
