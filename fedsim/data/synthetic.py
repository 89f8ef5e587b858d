"""The dataset `synthetic`: a law for each client, from which its examples are made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge

from fedsim.core import Examples
from fedsim.core.rng import bits, digest, uniforms
from fedsim.data.partitioned import Partitioned, pool
from fedsim.data.partitions.dealing import Ints

Floats = npt.NDArray[np.float64]

_HELD_BYTES = 64 << 20
"""Data up to this size is made once, at the start; larger data whenever its client takes part. The values agree."""
_BLOCK_ROWS = 4096
"""Examples made at a time: about what the cache holds."""

# Features are multiples of 2**-16 and model coefficients of 2**-12. Then every logit is an exact sum in float64
# (unless alpha or beta is beyond 100), and a label depends neither on the order of a sum nor on who else is drawn.
_FEATURE_UNIT = 2.0**-16
_MODEL_UNIT = 2.0**-12


@dataclass(frozen=True, kw_only=True)
class Lognormal:
    """Client sizes floor(exp(mean + sigma z)) + min with z ~ N(0, 1): a few clients own most examples."""

    law: Literal["lognormal"] = "lognormal"
    mean: float = 4.0
    """Mean of the logarithm."""
    sigma: Annotated[float, Ge(0)] = 2.0
    """Standard deviation of the logarithm."""
    min: Annotated[int, Ge(1)] = 50
    """Added to every client's draw."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for a law whose largest client would not fit anywhere."""
        if self.mean + 5 * self.sigma > 20:
            yield "mean", f"mean + 5 sigma must be at most 20 (5e8 examples), got {self.mean + 5 * self.sigma:g}"


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Synthetic(alpha, beta) of Li et al. 2020, made on demand: a million clients take no memory until they train.

    Li et al., "Federated optimization in heterogeneous networks", MLSys 2020, section 5.1. Client k has the model
    y = argmax(softmax(W_k x + b_k)) with W_k (classes x dimension) and b_k (classes) of independent N(u_k, 1) entries,
    u_k ~ N(0, alpha); its features are x ~ N(v_k, Sigma), Sigma diagonal with Sigma_jj = j**-1.2 (j from 1), the
    entries of v_k ~ N(B_k, 1), B_k ~ N(0, beta). Here alpha and beta are standard deviations, as in the authors' own
    generator. `iid`: one W, b of N(0, 1) entries for all clients, and v_k = 0. Sizes follow exp(N(4, 2**2)) + 50.

    Two things to know. u_k adds the same number to every logit, which softmax ignores: alpha changes no label (the
    models differ by their N(0, 1) parts). And N(0, 1) is drawn as one of 2**16 equally likely quantiles, so that the
    data is the same on every machine; its distribution function is within 2**-16 of the normal one.

    A client's examples depend on (seed, client, position) alone, never on the number of clients.
    """

    dataset: Literal["synthetic"] = "synthetic"
    clients: Annotated[int, Ge(1)]
    """How many clients there are."""
    alpha: Annotated[float, Ge(0)] = 1.0
    """How much the clients' models differ: standard deviation of u_k."""
    beta: Annotated[float, Ge(0)] = 1.0
    """How much the clients' features differ: standard deviation of B_k."""
    iid: bool = False
    """The same law for every client; alpha and beta are then without effect."""
    dimension: Annotated[int, Ge(1)] = 60
    """Number of features."""
    classes: Annotated[int, Ge(2)] = 10
    """Number of labels."""
    examples: Annotated[int, Ge(1)] | Lognormal = Lognormal()
    """Training examples: the same number for each client, or a law."""
    test_examples: Annotated[int, Ge(1)] = 2000
    """Held-out examples, drawn from the laws of as many clients as possible in equal parts."""

    @property
    def num_clients(self) -> int | None:
        """N."""
        return self.clients

    def load(self, seed: int, folder: str = ".") -> SyntheticData | Partitioned:
        """Return the data: held in memory when small, made on demand when not; the same values either way."""
        counts = _sizes(self, seed)
        data = SyntheticData(self, seed, counts, _test_split(self, seed))
        counts.setflags(write=False)
        held = int(counts.sum()) * (4 * self.dimension + 8)
        return materialise(data) if held <= _HELD_BYTES else data


@dataclass(frozen=True)
class SyntheticData:
    """Client data made on demand; a `ClientData` that holds sizes and the test split only.

    Attributes
    ----------
    law : the dataset's options.
    seed : the scenario's seed.
    num_examples : (N,) training examples of each client.
    test : the held-out split.
    """

    law: Synthetic
    seed: int
    num_examples: Ints
    test: Examples | None

    @property
    def num_clients(self) -> int:
        """N."""
        return self.law.clients

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(dimension,)."""
        return (self.law.dimension,)

    @property
    def num_classes(self) -> int:
        """C."""
        return self.law.classes

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held."""
        test = 0 if self.test is None else self.test.x.nbytes + self.test.y.nbytes
        return self.num_examples.nbytes + test

    def rows(self, clients: Ints, positions: Ints) -> Examples:
        """Make examples: clients (C,), positions (C, B) -> x (C, B, dimension), y (C, B)."""
        width = int(positions.max(initial=-1)) + 1
        if positions.shape[1] <= width:
            return _make(self.law, self.seed, clients, positions)
        # several epochs ask for each row several times: make it once
        rows = _make(self.law, self.seed, clients, np.broadcast_to(np.arange(width), (len(clients), width)))
        owner = np.arange(len(clients))[:, None]
        return Examples(rows.x[owner, positions], rows.y[owner, positions])

    def label_counts(self, clients: Ints | None = None) -> Ints:
        """Return how many examples of each label each client (or each of `clients`) holds, shape (N, C).

        All examples are made for it, block by block.
        """
        ids = np.arange(self.num_clients) if clients is None else clients
        counts = np.zeros((len(ids), self.num_classes), np.int64)
        for places, positions, mask in _blocks(self.num_examples[ids]):
            y = _make(self.law, self.seed, ids[places], positions).y
            flat = (np.arange(len(places))[:, None] * self.num_classes + y)[mask]
            counts[places] += np.bincount(flat, minlength=len(places) * self.num_classes).reshape(len(places), -1)
        return counts


def materialise(data: SyntheticData) -> Partitioned:
    """Return the same data with every example held in memory."""
    counts, total = data.num_examples, int(data.num_examples.sum())
    starts = np.cumsum(counts) - counts
    x = np.empty((total, data.law.dimension), np.float32)
    y = np.empty(total, np.int64)
    for places, positions, mask in _blocks(counts):
        rows = _make(data.law, data.seed, places, positions)
        index = (starts[places][:, None] + positions)[mask]
        x[index], y[index] = rows.x[mask], rows.y[mask]
    owners = np.repeat(np.arange(data.num_clients), counts)
    assert data.test is not None
    return pool(x, y, owners, data.num_clients, data.num_classes, test=(data.test.x, data.test.y))


def _sizes(law: Synthetic, seed: int) -> Ints:
    """Return the clients' sizes (N,); client i's depends on (seed, i) alone."""
    if not isinstance(law.examples, Lognormal):
        return np.full(law.clients, law.examples, np.int64)
    z = _quantiles()[(uniforms(digest(seed, "synthetic.size"), np.arange(law.clients)) * 2**16).astype(np.int64)]
    return np.floor(np.exp(law.examples.mean + law.examples.sigma * z)).astype(np.int64) + law.examples.min


def _test_split(law: Synthetic, seed: int) -> Examples:
    """Make `test_examples` fresh examples, dealt as evenly as can be over clients spread over all ids."""
    places = np.arange(law.test_examples)
    drawn_from = min(law.clients, law.test_examples)
    clients = places % drawn_from * law.clients // drawn_from
    rows = _make(law, seed, clients, (places // drawn_from)[:, None], purpose="synthetic.test")
    x, y = rows.x[:, 0], rows.y[:, 0]
    x.setflags(write=False)
    y.setflags(write=False)
    return Examples(x, y)


def _make(law: Synthetic, seed: int, clients: Ints, positions: Ints, purpose: str = "synthetic.example") -> Examples:
    """Make the examples at `positions` (C, B) of `clients` (C,), block by block."""
    x = np.empty((*positions.shape, law.dimension), np.float32)
    y = np.empty(positions.shape, np.int64)
    key = digest(seed, purpose)
    step = max(1, _BLOCK_ROWS // max(1, positions.shape[1]))
    for start in range(0, len(clients), step):
        part = slice(start, start + step)
        means, models = _laws(law, seed, clients[part])
        _fill(law, key, clients[part], positions[part], means, models, x[part], y[part])
    return Examples(x, y)


def _laws(law: Synthetic, seed: int, clients: Ints) -> tuple[Floats, Floats]:
    """Return v_k (C, dimension) and the models (C, dimension + 1, classes) in units of _MODEL_UNIT, b_k as last row."""
    size = (law.dimension + 1) * law.classes
    if law.iid:
        models = np.rint(_normals(digest(seed, "synthetic.model"), np.zeros(1, np.int64), size) / _MODEL_UNIT)
        return np.zeros((len(clients), law.dimension)), models.reshape(1, law.dimension + 1, law.classes)
    centers = _normals(digest(seed, "synthetic.centers"), clients, 2)  # u_k / alpha and B_k / beta
    means = law.beta * centers[:, 1:] + _normals(digest(seed, "synthetic.mean"), clients, law.dimension)
    models = np.rint(_normals(digest(seed, "synthetic.model"), clients, size) / _MODEL_UNIT)
    models += np.rint(law.alpha * centers[:, :1] / _MODEL_UNIT)
    return means, models.reshape(len(clients), law.dimension + 1, law.classes)


def _fill(
    law: Synthetic,
    key: int,
    clients: Ints,
    positions: Ints,
    means: Floats,
    models: Floats,
    x: npt.NDArray[np.float32],
    y: Ints,
) -> None:
    """Write the features and labels of one block."""
    deviations = np.arange(1, law.dimension + 1) ** -0.6 / _FEATURE_UNIT
    z = _normals(key, (clients[:, None], positions), law.dimension)
    z *= deviations
    z += (means / _FEATURE_UNIT)[:, None, :]
    np.rint(z, out=z)
    np.multiply(z, _FEATURE_UNIT, out=x, casting="same_kind")
    logits = z @ models[:, :-1]
    logits += models[:, -1:] / _FEATURE_UNIT
    np.argmax(logits, axis=-1, out=y)


def _normals(key: int, at: Any, size: int) -> Floats:
    """Return `size` standard normal numbers for each coordinate in `at` (an array, or several that broadcast)."""
    coordinates = [np.asarray(c)[..., None] for c in (at if isinstance(at, tuple) else (at,))]
    words = bits(key, *coordinates, np.arange(-(-size // 4)))
    quarters = np.ascontiguousarray(words).view(np.uint16)  # four draws in each word
    return _quantiles()[quarters[..., :size]]


@cache
def _quantiles() -> Floats:
    """Return the 2**16 midpoint quantiles of N(0, 1), as float32 values so that every machine has the same."""
    upper = [NormalDist().inv_cdf((k + 0.5) / 2**16) for k in range(2**15, 2**16)]
    half = np.array(upper, dtype=np.float32).astype(np.float64)
    return np.concatenate([-half[::-1], half])


def _blocks(counts: Ints) -> Iterator[tuple[Ints, Ints, npt.NDArray[np.bool_]]]:
    """Cut all rows of ragged clients into blocks: (places (C,), positions (C, B), mask (C, B)), smallest first."""
    order = np.argsort(counts, kind="stable")
    start = 0
    while start < len(order):
        most = int(counts[order[start]])
        end = start + max(1, _BLOCK_ROWS // max(1, most))
        places = order[start:end]
        width = int(counts[places].max())
        for first in range(0, width, 16 * _BLOCK_ROWS):
            positions = np.arange(first, min(first + 16 * _BLOCK_ROWS, width))
            grid = np.broadcast_to(positions, (len(places), len(positions)))
            yield places, grid, grid < counts[places][:, None]
        start = end
