"""Which examples each local step uses: a keyed draw, made for a whole lane at once.

A client's batches are a function of (seed, round, client) and its own number of examples, the same alone and in any
company.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from fedsim.core import LocalWork, rng

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cuts:
    """How many examples each batch has, and what follows from that; kept from round to round where it repeats.

    Attributes
    ----------
    sizes : (C, K) examples in each batch, 0 from the step on at which a client has finished; or (1, K) when that is
        the same for all clients, who are then `alike`.
    steps : steps that each client takes, (C,) or (1,).
    examples : examples that each client goes through, repetitions counted, (C,) or (1,).
    active : how many rows of `sizes` have each step; as many entries as there are steps with anyone.
    widths : the size of the largest batch of each step.
    """

    sizes: Integers
    steps: Integers
    examples: Integers
    active: list[int]
    widths: list[int]
    alike: bool

    @classmethod
    def made(cls, sizes: Integers) -> Cuts:
        """Return the cuts with batches of these sizes."""
        return cls(
            sizes,
            steps=(sizes > 0).sum(axis=1, dtype=np.int64),
            examples=sizes.sum(axis=1, dtype=np.int64),
            active=[count for count in np.count_nonzero(sizes, axis=0).tolist() if count],
            widths=sizes.max(axis=0).tolist(),
            alike=len(sizes) == 1,
        )

    @cached_property
    def scale(self) -> npt.NDArray[np.float32]:
        """1/size for the examples of a batch of that size, 0 for padding: (C, K, B) or (1, K, B), float32."""
        inside = np.arange(max(self.widths, default=0)) < self.sizes[:, :, None]
        return np.divide(inside, np.maximum(self.sizes, 1)[:, :, None], dtype=np.float32)

    def of(self, place: int) -> list[int]:
        """Return the sizes of the batches that one client has."""
        return [int(size) for size in self.sizes[0 if self.alike else place] if size]


@dataclass(frozen=True)
class Batches:
    """The batches of C clients over K steps, K being the most steps that any of them takes.

    Attributes
    ----------
    positions : (C, K, B) places inside each client's examples; beyond a batch's size they repeat its last place.
    cuts : how many examples each batch has.
    """

    positions: Integers
    cuts: Cuts

    @property
    def steps(self) -> Integers:
        """Steps that each client takes, (C,)."""
        return np.full(len(self.positions), self.cuts.steps[0]) if self.cuts.alike else self.cuts.steps

    @property
    def examples(self) -> Integers:
        """Examples that each client goes through, repetitions counted, (C,)."""
        return np.full(len(self.positions), self.cuts.examples[0]) if self.cuts.alike else self.cuts.examples

    @property
    def order(self) -> Integers | None:
        """Places that sort the clients by their number of steps, most first; None when they are sorted."""
        if self.cuts.alike or (self.cuts.steps[1:] <= self.cuts.steps[:-1]).all():
            return None
        return np.argsort(-self.cuts.steps, kind="stable")

    def at(self, order: Integers) -> Batches:
        """Return the batches of the clients in another order."""
        return Batches(self.positions[order], self.cuts if self.cuts.alike else Cuts.made(self.cuts.sizes[order]))


def processed(work: LocalWork, counts: Integers) -> Integers:
    """Return how many examples clients with `counts` examples go through in a round, without drawing any batch."""
    if work.epochs is not None:
        return _usable(work, counts) * work.epochs
    assert work.local_steps is not None
    return np.minimum(counts, work.batch_size) * work.local_steps


def draw(
    work: LocalWork, seed: int, round: int, clients: Integers, counts: Integers, taken: Integers | None = None
) -> Batches:
    """Draw the batches of a round for some clients (C,), at least one, that hold `counts` (C,) examples.

    Each client has an endless stream of examples, one keyed permutation of its examples after the other.
    `local_epochs` cuts each permutation into batches of `batch_size`, the last one short. `local_steps` cuts the
    stream into that many batches of min(batch_size, count), across the ends of permutations. With `drop_last` what is
    left of a permutation after its last whole batch is left out, in both. A client whose examples fit into one batch
    takes them in their own order, as shuffling would only move rounding. No examples, no steps.

    Each round has a stream of its own. With `carry_batches` a client has one for the whole run, and goes on in it where
    it was after the `taken` (C,) rounds that it took part in; None means none.
    """
    if not work.carry_batches and (counts == counts[0]).all():
        return _draw_alike(work, seed, round, clients, counts)
    carried = np.zeros_like(counts) if taken is None else taken
    starts, sizes, inside, first = _cuts(work, counts, carried if work.carry_batches else np.zeros_like(counts))
    whole = counts <= work.batch_size
    if whole.all():
        return Batches(inside, Cuts.made(sizes))
    key = rng.digest(seed, "batches.carried") if work.carry_batches else rng.digest(seed, "batches", round)
    stream, heads = _streams(key, clients, counts, (starts + sizes).max(axis=1), ~whole, first)
    positions = stream[starts[:, :, None] + inside + heads[:, None, None]]
    if whole.any():
        positions = np.where(whole[:, None, None], inside, positions)
    return Batches(positions, Cuts.made(sizes))


def _draw_alike(work: LocalWork, seed: int, round: int, clients: Integers, counts: Integers) -> Batches:
    """Draw for clients with the same number of examples: the same batches, with the cuts made once for all."""
    count = int(counts[0])
    places, cuts, length = _row(work, count)
    if count <= work.batch_size:
        return Batches(np.broadcast_to(places, (len(clients), *places.shape)), cuts)
    key = rng.digest(seed, "batches", round)
    epochs = [rng.permutations(key, clients, counts, epoch) for epoch in range(-(-length // count))]
    stream = epochs[0] if len(epochs) == 1 else np.concatenate(epochs, axis=1)
    return Batches(stream.take(places, axis=1), cuts)


@lru_cache(maxsize=64)
def _row(work: LocalWork, count: int) -> tuple[Integers, Cuts, int]:
    """Return the places (K, B) in the stream of a client with `count` examples, its cuts, and the stream's length."""
    starts, sizes, inside, _ = _cuts(work, np.array([count]), np.array([0]))
    places = inside[0] if count <= work.batch_size else starts[0, :, None] + inside[0]
    return places, Cuts.made(sizes), int((starts + sizes).max(initial=0))


def _usable(work: LocalWork, counts: Integers) -> Integers:
    """Return how many examples of each permutation are used."""
    full = np.maximum(np.minimum(counts, work.batch_size), 1)
    return counts // full * full if work.drop_last else counts


def _cuts(work: LocalWork, counts: Integers, taken: Integers) -> tuple[Integers, Integers, Integers, Integers]:
    """Return where in its stream each batch starts (C, K), its size (C, K), and its places from there (C, K, B).

    The stream begins with the permutation of a client that its first batch is in: which one, (C,), comes last.
    """
    usable = _usable(work, counts)
    if work.local_steps is not None:
        full = np.minimum(counts, work.batch_size)[:, None]
        each = np.maximum(usable, 1)[:, None]
        passes, within = np.divmod(full * (taken[:, None] * work.local_steps + np.arange(work.local_steps)), each)
        first = passes[:, 0]
        starts = (passes - first[:, None]) * counts[:, None] + within
        sizes = np.broadcast_to(full, starts.shape)
    else:
        assert work.epochs is not None
        first = taken * work.epochs
        per_epoch = -(-usable // work.batch_size)
        steps = np.arange(int(per_epoch.max(initial=0)) * work.epochs)
        epoch, batch = np.divmod(steps, np.maximum(per_epoch, 1)[:, None])
        inside = batch * work.batch_size
        sizes = np.where(epoch < work.epochs, np.clip(usable[:, None] - inside, 0, work.batch_size), 0)
        starts = np.where(sizes > 0, epoch * counts[:, None] + inside, 0)
    last = np.maximum(sizes - 1, 0)[:, :, None]
    return starts, sizes, np.minimum(np.arange(int(sizes.max(initial=0))), last), first


def _streams(
    key: int,
    clients: Integers,
    counts: Integers,
    lengths: Integers,
    shuffled: npt.NDArray[np.bool_],
    first: Integers,
) -> tuple[Integers, Integers]:
    """Return all shuffled clients' streams in one array, and where each client's begins, (C,).

    A stream begins with permutation number `first` (C,) and holds as many whole permutations as `lengths` (C,)
    examples need; the others' streams are empty.
    """
    epochs = np.where(shuffled, -(-lengths // np.maximum(counts, 1)), 0)
    ends = np.cumsum(epochs * counts)
    heads = ends - epochs * counts
    stream = np.zeros(max(int(ends[-1]), 1), np.int64)
    for epoch in range(int(epochs.max())):
        rows = np.flatnonzero(epochs > epoch)
        order = rng.permutations(key, clients[rows], counts[rows], first[rows] + epoch)
        inside = np.arange(order.shape[1])
        valid = inside < counts[rows, None]
        stream[((heads + epoch * counts)[rows, None] + inside)[valid]] = order[valid]
    return stream, np.where(shuffled, heads, 0)
