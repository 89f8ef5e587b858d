"""Laws of a codec of the uplink: that it is what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from fedsim.core import rng
from fedsim.core.uplink.codec import Codec, Row
from fedsim.laws.play import Verdict, beside

DRAWS, SIZE, DEVIATIONS = 4000, 12, 5.0


def _vectors(size: int = SIZE) -> list[Row]:
    drawn = rng.stream(1, "codec laws").standard_normal((3, size))
    return [*drawn.astype(np.float32), np.linspace(-1.0, 1.0, size, dtype=np.float32) ** 3]


def _read(codec: Codec, vector: Row, draw: int) -> Row:
    return np.array(codec.code(vector.copy(), rng.stream(2, "codec laws", draw)))


def is_keyed(codec: Codec) -> Verdict:
    """Keyed: the same key gives the same bits, in any company, and what is sent is left as it was."""
    for vector in _vectors():
        given = vector.copy()
        one, two = (np.array(codec.code(given, rng.stream(2, "codec laws", 7))) for _ in range(2))
        if one.shape != vector.shape:
            return Verdict("is_keyed", False, f"shape {one.shape} of a vector {vector.shape}")
        if one.tobytes() != two.tobytes():
            return Verdict("is_keyed", False, f"{one.tolist()}, then {two.tolist()}")
        if given.tobytes() != vector.tobytes():
            return Verdict("is_keyed", False, "the vector was written to")
    return Verdict("is_keyed", True, "4 vectors, twice each")


def is_finite(codec: Codec) -> Verdict:
    """Finite: zeros are read as zeros, and what is finite stays so."""
    zeros = _read(codec, np.zeros(SIZE, np.float32), 1)
    if zeros.any():
        return Verdict("is_finite", False, f"zeros are read as {zeros.tolist()}")
    for scale in (1e-30, 1.0, 1e15):
        read = _read(codec, _vectors()[0] * np.float32(scale), 1)
        if not np.isfinite(read).all():
            return Verdict("is_finite", False, f"at {scale:g}: {read.tolist()}")
    return Verdict("is_finite", True, "sizes 1e-30 to 1e15")


def counts_bytes(codec: Codec) -> Verdict:
    """Bytes: they are whole numbers above 0 that do not fall with the length."""
    sizes = [SIZE, 100, 1000, 10_000]
    found = [codec.nbytes(size) for size in sizes]
    sound = all(isinstance(one, int) and one > 0 for one in found) and found == sorted(found)
    return Verdict("counts_bytes", sound, ", ".join(f"{size}: {one}" for size, one in zip(sizes, found, strict=True)))


def passes_whole_vectors(codec: Codec) -> Verdict:
    """Whole: where it says that vectors arrive whole, they do, bit for bit."""
    if not codec.whole(SIZE):
        return beside("passes_whole_vectors", f"codes vectors of {SIZE}")
    same = all(_read(codec, vector, 1).tobytes() == vector.tobytes() for vector in _vectors())
    return Verdict("passes_whole_vectors", same, "4 vectors")


@dataclass(frozen=True)
class _Moments:
    """Of many draws: the mean's worst distance in standard errors, and E ||C(x) - x||^2 / ||x||^2 with its error."""

    off: float
    loss: float
    error: float


def _moments(codec: Codec, vector: Row) -> _Moments:
    reads = np.stack([_read(codec, vector, draw) for draw in range(DRAWS)]).astype(np.float64)
    spread = reads.std(axis=0, ddof=1) / sqrt(DRAWS)
    gap = np.abs(reads.mean(axis=0) - vector)
    off = float((gap / np.maximum(spread, 1e-6 * np.abs(vector).max())).max())
    losses = ((reads - vector) ** 2).sum(axis=1) / float((vector.astype(np.float64) ** 2).sum())
    return _Moments(off, float(losses.mean()), float(losses.std() / sqrt(DRAWS)))


def is_unbiased_where_claimed(codec: Codec) -> Verdict:
    """Unbiased: the mean of what is read is what was sent; 4,000 draws, within 5 standard errors in every entry."""
    if not codec.unbiased:
        return beside("is_unbiased_where_claimed", "does not claim it")
    worst = max(_moments(codec, vector).off for vector in _vectors())
    return Verdict("is_unbiased_where_claimed", worst < DEVIATIONS, f"{worst:.2f} standard errors at worst")


def has_its_variance(codec: Codec) -> Verdict:
    """Error: E ||C(x) - x||^2 is at most omega ||x||^2, or (1 - delta) ||x||^2; 4,000 draws, 5 standard errors."""
    omega, delta = codec.variance(SIZE), codec.contraction(SIZE)
    bounds = [one for one in (omega, None if delta is None else 1.0 - delta) if one is not None]
    if not bounds:
        return beside("has_its_variance", "says nothing of it")
    if delta is not None and not 0 < delta <= 1:
        return Verdict("has_its_variance", False, f"delta {delta:g}")
    found = [_moments(codec, vector) for vector in _vectors()]
    excess = max(one.loss - DEVIATIONS * one.error for one in found)
    return Verdict(
        "has_its_variance",
        excess <= min(bounds) + 1e-9,
        f"{max(one.loss for one in found):.3g}, bound {min(bounds):.3g}",
    )


CODEC_LAWS = (
    is_keyed,
    is_finite,
    counts_bytes,
    passes_whole_vectors,
    is_unbiased_where_claimed,
    has_its_variance,
)
"""Laws of a codec."""
