"""Keyed randomness: every draw is a function of (seed, purpose, round, client).

Two tools, both vectorised, neither with any global state:

- `stream` is one Philox generator per (seed, purpose, round). Entry i of a vector drawn from it belongs to
  client i, so one more client changes nobody else's draw.
- `bits` is a counter hash over arrays (SplitMix64's finaliser, applied along each coordinate): entry (i, j) depends
  on the key, i and j only, so any subset of clients can be drawn without the others.

Philox: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. SplitMix64: Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def digest(seed: int, purpose: str, *numbers: int) -> int:
    """Return the 128-bit key of (seed, purpose, numbers): a hash, so that no two purposes share a stream."""
    text = "\x1f".join([str(seed), purpose, *map(str, numbers)])
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "little")


def stream(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Return the Philox generator that belongs to (seed, purpose, numbers); usually numbers = (round,).

    >>> float(stream(1, "example", 7).random()) == float(stream(1, "example", 7).random())
    True
    >>> bool((stream(1, "example", 7).random(3) == stream(1, "example", 7).random(5)[:3]).all())
    True
    """
    return np.random.Generator(np.random.Philox(key=digest(seed, purpose, *numbers)))


def _mix(z: U64) -> U64:
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def bits(key: int, *coordinates: npt.ArrayLike) -> U64:
    """Return 64 hashed bits for each element of the broadcast `coordinates` (non-negative integers).

    `key` is what `digest` returns. The result at (i, j, ...) depends on nothing but key, i, j, ...
    """
    shape = np.broadcast_shapes(*(np.shape(c) for c in coordinates))
    state: Any = np.full((1,) * len(shape), key & 0xFFFFFFFFFFFFFFFF, dtype=np.uint64)
    high = np.uint64(key >> 64)
    # uint64 arithmetic wraps, which is what a hash wants; numpy would warn of it where a coordinate is a scalar
    with np.errstate(over="ignore"):
        for coordinate in coordinates:
            state = _mix(state + _GOLDEN * (np.asarray(coordinate, dtype=np.uint64) + high))
    return np.broadcast_to(state, shape) if state.shape != shape else state


def uniforms(key: int, *coordinates: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return numbers uniform on [0, 1), 53 bits each, one for each element of the broadcast coordinates."""
    return (bits(key, *coordinates) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutations(
    key: int, clients: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], epoch: int | npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return one keyed permutation per client: row i shuffles 0..counts[i]-1; the columns beyond hold the rest.

    Shape (len(clients), max(counts)); `epoch` is one for all, or one for each client (C,). A client's permutation
    depends on (key, client, epoch) and its own count, so it is the same in every company: places beyond a client's
    count sort last.
    """
    width = int(counts.max(initial=0))
    places = np.arange(width, dtype=np.int64)
    order = bits(key, clients[:, None], np.reshape(epoch, (-1, 1)), places[None, :]) >> np.uint64(1)
    if (counts != width).any():
        order[places[None, :] >= counts[:, None]] = np.uint64(0xFFFFFFFFFFFFFFFF)
    return np.argsort(order, axis=1, kind="stable").astype(np.int64, copy=False)
