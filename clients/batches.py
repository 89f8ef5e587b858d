"""Which examples each local step uses: a keyed draw, made for a whole lane at once.

A client's batches are a function of (seed, round, client) and its own number of examples, the same alone and in any
company.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fedsim.core import LocalWork, rng

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batches:
    """The batches of C clients over K steps, K being the most steps that any of them takes.

    Attributes
    ----------
    positions : (C, K, B) places inside each client's examples; beyond a batch's size they repeat its last place.
    sizes : (C, K) examples in each batch, 0 from the step on at which a client has finished; or (1, K) when that is
        the same for all clients.
    """

    positions: Integers
    sizes: Integers

    @property
    def alike(self) -> bool:
        """Return whether all clients take the same steps with batches of the same sizes."""
        return len(self.sizes) == 1

    @property
    def steps(self) -> Integers:
        """Steps that each client takes, (C,)."""
        return self._each((self.sizes > 0).sum(axis=1))

    @property
    def examples(self) -> Integers:
        """Examples that each client goes through, repetitions counted, (C,)."""
        return self._each(self.sizes.sum(axis=1))

    def _each(self, values: Integers) -> Integers:
        return np.full(len(self.positions), values[0], np.int64) if self.alike else values

    def at(self, order: Integers) -> Batches:
        """Return the batches of some clients in another order."""
        return Batches(self.positions[order], self.sizes if self.alike else self.sizes[order])


def processed(work: LocalWork, counts: Integers) -> Integers:
    """Return how many examples clients with `counts` examples go through in a round, without drawing any batch."""
    if work.epochs is not None:
        return counts * work.epochs
    assert work.local_steps is not None
    return np.minimum(counts, work.batch_size) * work.local_steps


def draw(work: LocalWork, seed: int, round: int, clients: Integers, counts: Integers) -> Batches:
    """Draw the batches of a round for some clients (C,), at least one, that hold `counts` (C,) examples.

    Each client has an endless stream of examples, one keyed permutation of its examples after the other.
    `local_epochs` cuts each permutation into batches of `batch_size`, the last one short. `local_steps` cuts the
    stream into that many batches of min(batch_size, count), across the ends of permutations. A client whose examples
    fit into one batch takes them in their own order, as shuffling would only move rounding. No examples, no steps.
    """
    if (counts == counts[0]).all():
        return _draw_alike(work, seed, round, clients, counts)
    starts, sizes, inside = _cuts(work, counts)
    whole = counts <= work.batch_size
    if whole.all():
        return Batches(inside, sizes)
    key = rng.digest(seed, "batches", round)
    stream, heads = _streams(key, clients, counts, (starts + sizes).max(axis=1), ~whole)
    positions = stream[starts[:, :, None] + inside + heads[:, None, None]]
    if whole.any():
        positions = np.where(whole[:, None, None], inside, positions)
    return Batches(positions, sizes)


def _draw_alike(work: LocalWork, seed: int, round: int, clients: Integers, counts: Integers) -> Batches:
    """Draw for clients with the same number of examples: the same batches, with the cuts made once for all."""
    count = int(counts[0])
    places, sizes, length = _row(work, count)
    if count <= work.batch_size:
        return Batches(np.broadcast_to(places, (len(clients), *places.shape)), sizes)
    key = rng.digest(seed, "batches", round)
    epochs = [rng.permutations(key, clients, counts, epoch) for epoch in range(-(-length // count))]
    stream = epochs[0] if len(epochs) == 1 else np.concatenate(epochs, axis=1)
    return Batches(stream.take(places, axis=1), sizes)


@lru_cache(maxsize=64)
def _row(work: LocalWork, count: int) -> tuple[Integers, Integers, int]:
    """Return the places (K, B) in the stream of a client with `count` examples, the sizes (1, K), and its length."""
    starts, sizes, inside = _cuts(work, np.array([count]))
    places = inside[0] if count <= work.batch_size else starts[0, :, None] + inside[0]
    return places, sizes, int((starts + sizes).max(initial=0))


def _cuts(work: LocalWork, counts: Integers) -> tuple[Integers, Integers, Integers]:
    """Return where in its stream each batch starts (C, K), its size (C, K), and its places from there (C, K, B)."""
    if work.local_steps is not None:
        full = np.minimum(counts, work.batch_size)[:, None]
        starts = full * np.arange(work.local_steps)
        sizes = np.broadcast_to(full, starts.shape)
    else:
        assert work.epochs is not None
        per_epoch = -(-counts // work.batch_size)
        steps = np.arange(int(per_epoch.max(initial=0)) * work.epochs)
        epoch, batch = np.divmod(steps, np.maximum(per_epoch, 1)[:, None])
        inside = batch * work.batch_size
        sizes = np.where(epoch < work.epochs, np.clip(counts[:, None] - inside, 0, work.batch_size), 0)
        starts = np.where(sizes > 0, epoch * counts[:, None] + inside, 0)
    last = np.maximum(sizes - 1, 0)[:, :, None]
    return starts, sizes, np.minimum(np.arange(int(sizes.max(initial=0))), last)


def _streams(
    key: int, clients: Integers, counts: Integers, lengths: Integers, shuffled: npt.NDArray[np.bool_]
) -> tuple[Integers, Integers]:
    """Return all shuffled clients' streams in one array, and where each client's begins, (C,).

    A stream holds as many whole permutations as `lengths` (C,) examples need; the others' streams are empty.
    """
    epochs = np.where(shuffled, -(-lengths // np.maximum(counts, 1)), 0)
    ends = np.cumsum(epochs * counts)
    heads = ends - epochs * counts
    stream = np.zeros(max(int(ends[-1]), 1), np.int64)
    for epoch in range(int(epochs.max())):
        rows = np.flatnonzero(epochs > epoch)
        order = rng.permutations(key, clients[rows], counts[rows], epoch)
        inside = np.arange(order.shape[1])
        valid = inside < counts[rows, None]
        stream[((heads + epoch * counts)[rows, None] + inside)[valid]] = order[valid]
    return stream, np.where(shuffled, heads, 0)
