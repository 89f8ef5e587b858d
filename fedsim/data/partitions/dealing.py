"""What partitions deal with: labels in order, shares cut, clients that are short topped up.

Nothing loops until it is lucky: where a law leaves a client short, examples move there from the best-off clients.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedsim.core import ScenarioError
from fedsim.core.rng import stream

Ints = npt.NDArray[np.int64]
NOBODY = -1
"""The owner of an example that is left out."""


def group(owners: Ints, clients: int) -> tuple[Ints, Ints]:
    """Return (order, offsets): example indices sorted by owner, and where each client's begin, shape (N + 1,).

    >>> group(np.array([1, 0, 1]), clients=2)
    (array([1, 0, 2]), array([0, 1, 3]))
    """
    offsets = np.zeros(clients + 1, np.int64)
    np.cumsum(np.bincount(owners, minlength=clients), out=offsets[1:])
    return np.argsort(owners, kind="stable"), offsets


def must_suffice(examples: int, clients: int, least: int) -> None:
    """Refuse fewer examples than `clients` with at least `least` each need."""
    if examples < clients * least:
        raise ScenarioError(
            f"data.clients: {clients} clients with at least {least} each need {clients * least} training examples, "
            f"and there are {examples}"
        )


def by_label(labels: Ints, seed: int) -> Ints:
    """Return the indices sorted by label, shuffled inside each label."""
    shuffled = stream(seed, "partition.shuffle").permutation(len(labels))
    return shuffled[np.argsort(labels[shuffled], kind="stable")]


def cut(count: int, shares: npt.NDArray[np.float64]) -> Ints:
    """Return the owner of each of `count` places when [0, 1] is cut in proportion to `shares`."""
    places = (np.arange(count) + 0.5) / count
    return np.minimum(np.searchsorted(np.cumsum(shares), places, side="right"), len(shares) - 1).astype(np.int64)


def top_up(owners: Ints, clients: int, least: int, seed: int) -> Ints:
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
