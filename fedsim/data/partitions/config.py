"""What every entry under `data: {partition: ...}` is: a frozen config that says whose each example is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from fedsim.data.partitions.dealing import Ints


@dataclass(frozen=True, kw_only=True)
class Partition(ABC):
    """A way to tell whose each example is. Concrete classes carry `kind: Literal["..."]`, the word in the scenario."""

    kind: str
    """The word that chooses this partition."""


@dataclass(frozen=True, kw_only=True)
class Dealing(Partition):
    """A partition that deals pooled examples: every example to at most one client, a pure function of the seed."""

    @property
    def by_label(self) -> bool:
        """Whether it looks at labels, and so has nothing to go by where targets are numbers."""
        return False

    @abstractmethod
    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,), from its label, the number of clients and the run's seed.

        NOBODY (-1) for an example that is left out. Where targets are no labels, `labels` are the targets themselves,
        (n, ...).

        Raises
        ------
        ScenarioError : there are fewer examples than the clients need.
        """

    def relabelled(self, labels: Ints, owners: Ints, clients: int, seed: int) -> Ints:
        """Return the labels that the clients see, (n,), given whose each example is; most partitions change none."""
        return labels

    @property
    def least(self) -> int:
        """The examples that each client is sure to have: what N clients need is N times that."""
        return 1
