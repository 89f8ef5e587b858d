"""Pooled examples in memory, and who owns which: the form of every dataset that is read from a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import Examples, ScenarioError
from fedsim.core.data import Answers, Inputs
from fedsim.core.rng import stream
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import NOBODY, Ints, group

Features = npt.NDArray[np.float32] | npt.NDArray[np.uint8] | npt.NDArray[np.int64]


@dataclass(frozen=True)
class Partitioned:
    """Client data as one pool of examples and an index; a `ClientData`.

    Attributes
    ----------
    x : (n, *shape) float32, or uint8 as images are stored: a quarter of the memory, cast when gathered; tokens int64.
    y : (n, ...) targets: labels or tokens 0..C-1 in int64, or numbers in float32.
    order : example indices sorted by client; held-out examples are not among them.
    offsets : (N + 1,) client i owns order[offsets[i] : offsets[i + 1]].
    num_classes : C; 0 for numbers.
    test : the held-out split.
    divisor : features are divided by it when gathered.
    mean, std : (c, 1, ...) float32, what is then subtracted from each channel and what it is divided by; or None.
    values : (C,) what label k stood for, where labels were renumbered.
    own : order and offsets, as above, of what clients hold out for themselves; None where they hold out nothing.
    """

    x: Features
    y: Answers
    order: Ints
    offsets: Ints
    num_classes: int
    test: Examples | None
    divisor: float = 1.0
    mean: npt.NDArray[np.float32] | None = None
    std: npt.NDArray[np.float32] | None = None
    values: Ints | None = None
    own: tuple[Ints, Ints] | None = None

    @property
    def num_clients(self) -> int:
        """N."""
        return len(self.offsets) - 1

    @property
    def num_examples(self) -> Ints:
        """Examples of each client, shape (N,)."""
        return np.diff(self.offsets)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example's features, channels first for images."""
        return self.x.shape[1:]

    @property
    def input_dtype(self) -> npt.DTypeLike:
        """Type of the features when gathered: int64 for tokens, else float32."""
        return np.int64 if self.x.dtype == np.int64 else np.float32

    @property
    def target_shape(self) -> tuple[int, ...]:
        """Shape of one example's target: () for a label or a number."""
        return self.y.shape[1:]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held."""
        held: list[npt.NDArray[Any]] = [self.x, self.y, self.order, self.offsets]
        held += [self.test.x, self.test.y] if self.test else []
        held += self.own or ()
        return sum(array.nbytes for array in held)

    def rows(self, clients: Ints, positions: Ints) -> Examples:
        """Gather examples: clients (C,), positions (C, B) -> x (C, B, *shape), y (C, B, *target_shape), fresh.

        A position beyond a client's count yields that client's last example.
        """
        starts, ends = self.offsets[clients], self.offsets[clients + 1]
        index = self.order[np.minimum(positions + starts[:, None], ends[:, None] - 1)]
        x = _cast(self.x[index], self.divisor)
        return Examples(standardised(x, self.mean, self.std), self.y[index])

    @property
    def own_test(self) -> Partitioned | None:
        """Each client's own test part, as data of the same clients; None where they hold out nothing."""
        return None if self.own is None else replace(self, order=self.own[0], offsets=self.own[1], own=None)

    def label_counts(self, clients: Ints | None = None) -> Ints:
        """Return how many examples of each label each client (or each of `clients`) holds, shape (N, C).

        Shape (N, 0) where targets are no labels.
        """
        if self.target_shape or not self.num_classes:
            return np.zeros((self.num_clients if clients is None else len(clients), 0), np.int64)
        owners = np.repeat(np.arange(self.num_clients), self.num_examples)
        cells = owners * self.num_classes + self.y[self.order]
        counts = np.bincount(cells, minlength=self.num_clients * self.num_classes).reshape(self.num_clients, -1)
        return counts if clients is None else counts[clients]


def pool(
    x: Features,
    y: Answers,
    owners: Ints,
    clients: int,
    classes: int,
    *,
    train: Ints | None = None,
    test: tuple[Features, Answers] | None = None,
    divisor: float = 1.0,
) -> Partitioned:
    """Build `Partitioned` from a pool, the owners of its `train` rows (default: all), and the test rows.

    `test` None takes the rows of the pool that are not in `train`. All arrays become read-only.
    """
    order, offsets = group(owners, clients)
    if train is not None:
        order = train[order]
    if test is None:
        held_out = np.ones(len(y), bool)
        held_out[order] = False
        test = x[held_out], y[held_out]
    examples = Examples(_cast(test[0], divisor), test[1])
    for array in (x, y, order, offsets, examples.x, examples.y):
        array.setflags(write=False)
    return Partitioned(x, y, order, offsets, classes, examples, divisor)


def deal_out(
    x: Features,
    y: Answers,
    partition: Dealing,
    clients: int,
    classes: int,
    *,
    seed: int,
    train: Ints | None = None,
    test: tuple[Features, Answers] | None = None,
    divisor: float = 1.0,
) -> Partitioned:
    """Deal the `train` rows of a pool (default: all) to clients by a partition; else as `pool`."""
    rows = np.arange(len(y)) if train is None else train
    labels: Any = y if train is None else y[train]
    owners = partition.owners(labels, clients, seed)
    seen = partition.relabelled(labels, owners, clients, seed)
    if test is None:
        held_out = np.ones(len(y), bool)
        held_out[rows] = False
        test = x[held_out], y[held_out]
    if seen is not labels:
        y = y.copy()
        y[rows] = seen
    used = owners != NOBODY
    if not used.all():
        train, owners = rows[used], owners[used]
    return pool(x, y, owners, clients, classes, train=train, test=test, divisor=divisor)


def hold_out(labels: Ints, fraction: float, seed: int) -> Ints:
    """Return the indices kept for training, ascending: of each label about 1 - `fraction`, chosen at random.

    Exactly floor(n * fraction) examples are held out, and of each label within one of its share.
    """
    shuffled = stream(seed, "data.hold_out").permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    steps = np.floor(np.arange(len(labels) + 1) * fraction + 1e-9)
    kept = np.diff(steps) == 0
    if kept.all():
        raise ScenarioError(f"data.test_fraction: {fraction} of {len(labels)} examples leaves none to test on")
    return np.sort(order[kept])


def apart(data: Partitioned, fraction: float | None, seed: int) -> Partitioned:
    """Return data in which each client holds out floor(n_i * fraction) of its examples for itself; None: as they are.

    Raises
    ------
    ScenarioError : no client holds enough for a single one.
    """
    if fraction is None:
        return data
    owners = np.repeat(np.arange(data.num_clients), data.num_examples)
    kept = np.zeros(len(owners), bool)
    kept[hold_out_within(owners, fraction, seed, "test_per_client")] = True
    return held_apart(data, kept)


def held_apart(data: Partitioned, kept: npt.NDArray[np.bool_]) -> Partitioned:
    """Return data in which clients train on the `kept` of their examples, in `order`, and hold out the others."""
    owners = np.repeat(np.arange(data.num_clients), data.num_examples)

    def part(chosen: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
        counts = np.bincount(owners[chosen], minlength=data.num_clients)
        found = data.order[chosen], np.concatenate([[0], np.cumsum(counts)])
        for array in found:
            array.setflags(write=False)
        return found

    order, offsets = part(kept)
    return replace(data, order=order, offsets=offsets, own=part(~kept))


def hold_out_within(owners: Ints, fraction: float, seed: int, key: str = "test_fraction") -> Ints:
    """Return the indices kept for training, ascending: floor(n_i * fraction) of each client's examples are held out."""
    purpose = "data.hold_out" if key == "test_fraction" else f"data.{key}"
    shuffled = stream(seed, purpose).permutation(len(owners))
    order = shuffled[np.argsort(owners[shuffled], kind="stable")]
    counts = np.bincount(owners)
    rank = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = rank >= np.repeat(np.floor(counts * fraction + 1e-9), counts)
    if kept.all():
        raise ScenarioError(
            f"data.{key}: {fraction} of each client's examples (at most {counts.max()}) leaves none to test "
            f"on; give a larger fraction{', or x_test and y_test' if key == 'test_fraction' else ''}"
        )
    return np.sort(order[kept])


def standardised(x: Inputs, mean: npt.NDArray[np.float32] | None, std: npt.NDArray[np.float32] | None) -> Inputs:
    """Return (x - mean) / std in float32; x itself without them."""
    return x if mean is None or std is None else (x - mean) / std


def _cast(x: Features, divisor: float) -> Inputs:
    if x.dtype == np.int64:  # tokens
        return x.astype(np.int64, copy=False)
    if divisor == 1.0:
        return x.astype(np.float32, copy=False)
    return np.divide(x, np.float32(divisor), dtype=np.float32)
