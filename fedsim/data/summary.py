"""What a split looks like, in numbers: sizes, labels per client, and how far clients are from the whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedsim.core import ClientData
from fedsim.data.partitions.dealing import Ints
from fedsim.data.synthetic import SyntheticData

Floats = npt.NDArray[np.float64]

_LOOKED_AT = 1000
"""Clients whose labels are counted when data is made on demand."""


@dataclass(frozen=True)
class DataSummary:
    """A split in numbers. M clients are looked at: all, or evenly spaced ones where each would have to be made.

    Attributes
    ----------
    num_examples : (N,) training examples of each client.
    looked_at : (M,) the clients that `labels` describes.
    labels : (M, C) examples of each label.
    """

    num_examples: Ints
    looked_at: Ints
    labels: Ints

    @property
    def shares(self) -> Floats:
        """Each client's label law, (M, C)."""
        shares: Floats = self.labels / np.maximum(self.labels.sum(axis=1, keepdims=True), 1)
        return shares

    @property
    def overall(self) -> Floats:
        """The label law of all examples of the clients looked at, (C,)."""
        overall: Floats = self.labels.sum(axis=0) / max(int(self.labels.sum()), 1)
        return overall

    @property
    def labels_held(self) -> Ints:
        """How many different labels each client has, (M,)."""
        held: Ints = np.count_nonzero(self.labels, axis=1)
        return held

    @property
    def entropy(self) -> Floats:
        """Entropy of each client's label law in bits, (M,): 0 for one label, log2 C for equal shares.

        >>> DataSummary(np.array([4, 3]), np.arange(2), np.array([[2, 2], [3, 0]])).entropy.tolist()
        [1.0, 0.0]
        """
        shares = self.shares
        logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
        entropy: Floats = np.abs((shares * logs).sum(axis=1))
        return entropy

    @property
    def distance(self) -> Floats:
        """Total variation distance of each client's label law from the overall one, (M,), between 0 and 1.

        >>> DataSummary(np.array([2, 2]), np.arange(2), np.array([[2, 0], [0, 2]])).distance.tolist()
        [0.5, 0.5]
        """
        distance: Floats = 0.5 * np.abs(self.shares - self.overall).sum(axis=1)
        return distance


def summarise(data: ClientData) -> DataSummary:
    """Count labels: of every client in memory, of 1,000 evenly spaced ones where the data is made on demand."""
    everyone = np.arange(data.num_clients)
    if not isinstance(data, SyntheticData):
        return DataSummary(data.num_examples, everyone, data.label_counts())
    few = min(_LOOKED_AT, data.num_clients)
    looked_at = np.arange(few) * data.num_clients // few
    return DataSummary(data.num_examples, looked_at, data.label_counts(looked_at))
