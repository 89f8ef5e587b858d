"""The dataset `quadratic`: an objective whose optimum is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt

from fedsim.core import Examples
from fedsim.data.partitions import AnyDealing
from fedsim.data.partitions.dealing import Ints

LARGEST = 1e19
"""Centers beyond this have squares that float32 cannot hold."""
Positive = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class QuadraticData:
    """The objectives of N clients; a `ClientData` without labels, whose examples are the centers.

    Attributes
    ----------
    centers : (N, d) c_i, float64.
    curvature : (N,) k_i, float64.
    noise : standard deviation of each coordinate of the gradient noise.
    """

    centers: npt.NDArray[np.float64]
    curvature: npt.NDArray[np.float64]
    noise: float

    @property
    def num_clients(self) -> int:
        """N."""
        return len(self.centers)

    @property
    def num_examples(self) -> Ints:
        """One each, shape (N,)."""
        return np.ones(self.num_clients, np.int64)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return self.centers.shape[1:]

    @property
    def num_classes(self) -> int:
        """There are no labels: 0."""
        return 0

    @property
    def test(self) -> Examples | None:
        """The objective itself is evaluated: None."""
        return None

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held."""
        return self.centers.nbytes + self.curvature.nbytes

    def rows(self, clients: Ints, positions: Ints) -> Examples:
        """Gather the centers: x (C, B, d) float32, y (C, B) zeros."""
        places = np.broadcast_to(clients[:, None], positions.shape)
        return Examples(self.centers.astype(np.float32)[places], np.zeros(positions.shape, np.int64))

    def label_counts(self, clients: Ints | None = None) -> Ints:
        """There are no labels: shape (N, 0)."""
        return np.zeros((self.num_clients if clients is None else len(clients), 0), np.int64)


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """Exact toy objectives f_i(w) = 0.5 k_i ||w - c_i||^2, gradient noise N(0, noise^2): the optimum is known.

    With objective weights a_i it is w* = sum a_i k_i c_i / sum a_i k_i. One client, with one example, per center.
    """

    dataset: Literal["quadratic"] = "quadratic"
    centers: tuple[tuple[float, ...], ...]
    """One list of d numbers for each client: where its objective is smallest."""
    curvature: Positive | tuple[Positive, ...] = 1.0
    """k_i: one number, or one for each client."""
    noise: Annotated[float, Ge(0)] = 0.0
    """Standard deviation of the noise in each coordinate of every gradient."""
    clients: Annotated[int, Ge(1)] | None = None
    """May be left out: it is the number of centers."""
    partition: AnyDealing | None = None
    """Accepted, without effect."""

    @property
    def num_clients(self) -> int | None:
        """N, the number of centers."""
        return len(self.centers)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that do not fit together."""
        count = len(self.centers)
        if not count or not self.centers[0]:
            yield "centers", "give at least one center with at least one number, e.g. [[0.0], [2.0]]"
            return
        dimension = len(self.centers[0])
        for place, center in enumerate(self.centers):
            if len(center) != dimension:
                yield "centers", f"center {place} has {len(center)} numbers, center 0 has {dimension}"
            elif not all(map(math.isfinite, center)):
                yield "centers", f"center {place} is not finite: {list(center)}"
            elif not all(abs(number) <= LARGEST for number in center):
                yield "centers", f"center {place} is not within float32's square root (+-{LARGEST:g}): {list(center)}"
        if isinstance(self.curvature, tuple) and len(self.curvature) != count:
            yield "curvature", f"give one number or one for each of the {count} centers, got {len(self.curvature)}"
        if self.clients not in (None, count):
            yield "clients", f"there is one client for each center, {count}; got {self.clients}"

    def load(self, seed: int, folder: str = ".") -> QuadraticData:
        """Return the objectives."""
        centers = np.array(self.centers, dtype=np.float64)
        curvature = np.empty(len(centers))
        curvature[:] = self.curvature
        centers.setflags(write=False)
        curvature.setflags(write=False)
        return QuadraticData(centers, curvature, float(self.noise))
