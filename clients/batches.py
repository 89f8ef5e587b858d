"""Which examples each local step uses: a keyed draw, made for a whole lane at once.

A client's batches are a function of (seed, round, client) and its own number of examples, the same alone and in any
company.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    sizes : (C, K) examples in each batch; 0 from the step on at which a client has finished.
    """

    positions: Integers
    sizes: Integers

    @property
    def steps(self) -> Integers:
        """Steps that each client takes, (C,)."""
        taken: Integers = (self.sizes > 0).sum(axis=1, dtype=np.int64)
        return taken

    @property
    def examples(self) -> Integers:
        """Examples that each client goes through, repetitions counted, (C,)."""
        total: Integers = self.sizes.sum(axis=1, dtype=np.int64)
        return total


def processed(work: LocalWork, counts: Integers) -> Integers:
    """Return how many examples clients with `counts` examples go through in a round, without drawing any batch."""
    if work.epochs is not None:
        return counts * work.epochs
    assert work.local_steps is not None
    return np.minimum(counts, work.batch_size) * work.local_steps


def draw(work: LocalWork, seed: int, round: int, clients: Integers, counts: Integers) -> Batches:
    """Draw the batches of a round for some clients (C,) that hold `counts` (C,) examples.

    Each client has an endless stream of examples, one keyed permutation of its examples after the other.
    `local_epochs` cuts each permutation into batches of `batch_size`, the last one short. `local_steps` cuts the
    stream into that many batches of min(batch_size, count), across the ends of permutations. A client whose examples
    fit into one batch takes them in their own order, as shuffling would only move rounding. No examples, no steps.
    """
    starts, sizes = _cuts(work, counts)
    width = int(sizes.max(initial=0))
    inside = np.minimum(np.arange(width), np.maximum(sizes - 1, 0)[:, :, None])
    places = starts[:, :, None] + inside
    whole = counts <= work.batch_size
    if whole.all():
        return Batches(inside, sizes)
    stream, heads = _stream(rng.digest(seed, "batches", round), clients, counts, (starts + sizes).max(axis=1), ~whole)
    positions = stream[places + heads[:, None, None]]
    if whole.any():
        positions = np.where(whole[:, None, None], inside, positions)
    return Batches(positions, sizes)


def _cuts(work: LocalWork, counts: Integers) -> tuple[Integers, Integers]:
    """Return where in its stream each client's batches start and how long they are, (C, K) each."""
    full = np.minimum(counts, work.batch_size)
    if work.local_steps is not None:
        steps = np.arange(work.local_steps)
        return full[:, None] * steps, np.broadcast_to(full[:, None], (len(counts), len(steps)))
    assert work.epochs is not None
    per_epoch = -(-counts // work.batch_size)
    steps = np.arange(int(per_epoch.max(initial=0)) * work.epochs)
    epoch, batch = np.divmod(steps, np.maximum(per_epoch, 1)[:, None])
    starts = batch * work.batch_size
    sizes = np.where(epoch < work.epochs, np.clip(counts[:, None] - starts, 0, work.batch_size), 0)
    return np.where(sizes > 0, epoch * counts[:, None] + starts, 0), sizes


def _stream(
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
