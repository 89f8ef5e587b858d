"""Participation probabilities p_i: a number, a list, or a law that draws one for each client.

Every law draws from a stream keyed by the seed, clients in order, so that the draws of a run are the same in every
comparison and one more client changes nobody else's. p_i = 0 is refused everywhere: a client that can never come is
not part of the objective, and no method can correct for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, MinLen

from fedsim.core import ScenarioError, World
from fedsim.core.config.tagged import Tagged
from fedsim.core.contracts import Vector
from fedsim.core.rng import stream

Probability = Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True, kw_only=True)
class Law(ABC):
    """A way to give each client its p_i. Concrete classes carry `law: Literal["..."]`."""

    @abstractmethod
    def draw(self, world: World) -> Vector:
        """Return the probabilities (N,), all in (0, 1]."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        yield from ()


@dataclass(frozen=True, kw_only=True)
class LabelDirichlet(Law):
    """Clients rich in a lucky class come often: p_i = clip(mean * C * <kappa_i, q>, min, 1).

    kappa_i (C,) is client i's realised label histogram, summing to 1 (zero for a client without examples), and q one
    draw of Dirichlet(alpha 1_C). Wang and Ji, "A lightweight method for tackling unknown participation statistics in
    federated averaging", ICLR 2024, section 6. A small alpha correlates participation with labels strongly.
    """

    law: Literal["label_dirichlet"] = "label_dirichlet"
    alpha: Annotated[float, Gt(0)] = 0.1
    """Concentration of the luck of the classes; small means that few classes have it all."""
    mean: Probability = 0.1
    """The probability that a client with average luck gets."""
    min: Probability = 0.02
    """Nobody comes more seldom than this."""

    def draw(self, world: World) -> Vector:
        """Return the probabilities (N,); needs the world's label counts."""
        counts = np.zeros((0, 0)) if world.label_counts is None else np.asarray(world.label_counts(), dtype=np.float64)
        if counts.shape[1] == 0:
            raise ScenarioError("participation.probabilities: label_dirichlet needs a dataset with labels")
        kappa = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        classes = counts.shape[1]
        luck = stream(world.seed, "participation.law").dirichlet(np.full(classes, self.alpha))
        probabilities: Vector = np.clip(self.mean * classes * (kappa @ luck), self.min, 1.0)
        return probabilities


@dataclass(frozen=True, kw_only=True)
class TwoLevel(Law):
    """The first round(share * N) clients have p_i = high, the others low."""

    law: Literal["two_level"] = "two_level"
    share: Annotated[float, Ge(0), Le(1)] = 0.5
    """Share of clients with the high probability."""
    high: Probability = 1.0
    """Probability of the first clients."""
    low: Probability = 0.1
    """Probability of the rest."""

    def draw(self, world: World) -> Vector:
        """Return the probabilities (N,)."""
        return np.where(np.arange(world.num_clients) < round(self.share * world.num_clients), self.high, self.low)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        if self.low > self.high:
            yield "low", f"must not exceed high ({self.high:g}), got {self.low:g}"


@dataclass(frozen=True, kw_only=True)
class Beta(Law):
    """p_i = max(min, a draw of Beta(a, b)), independent over clients."""

    law: Literal["beta"] = "beta"
    a: Annotated[float, Gt(0)] = 2.0
    """First shape parameter; the mean is a / (a + b)."""
    b: Annotated[float, Gt(0)] = 5.0
    """Second shape parameter."""
    min: Probability = 0.02
    """Nobody comes more seldom than this."""

    def draw(self, world: World) -> Vector:
        """Return the probabilities (N,)."""
        return np.maximum(stream(world.seed, "participation.law").beta(self.a, self.b, world.num_clients), self.min)


@dataclass(frozen=True, kw_only=True)
class UniformLaw(Law):
    """p_i uniform between low and high, independent over clients."""

    law: Literal["uniform"] = "uniform"
    low: Probability = 0.02
    """Smallest probability."""
    high: Probability = 1.0
    """Largest probability."""

    def draw(self, world: World) -> Vector:
        """Return the probabilities (N,)."""
        return self.low + (self.high - self.low) * stream(world.seed, "participation.law").random(world.num_clients)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        if self.low > self.high:
            yield "low", f"must not exceed high ({self.high:g}), got {self.low:g}"


AnyLaw = Annotated[LabelDirichlet | TwoLevel | Beta | UniformLaw, Tagged("law")]
Probabilities = Probability | Annotated[tuple[Probability, ...], MinLen(1)] | AnyLaw


def laws() -> dict[str, type[Law]]:
    """Return the probability laws by name."""
    return {"label_dirichlet": LabelDirichlet, "two_level": TwoLevel, "beta": Beta, "uniform": UniformLaw}


def probability_problems(probabilities: Probabilities) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for probabilities that are wrong whatever the number of clients."""
    if isinstance(probabilities, Law):
        yield from ((f"probabilities.{key}", message) for key, message in probabilities.problems())
        return
    values = np.atleast_1d(np.asarray(probabilities, dtype=np.float64))
    for place in np.flatnonzero(~((values > 0) & (values <= 1)))[:1]:
        whose = f"entry {place} is" if values.size > 1 else "got"
        yield "probabilities", f"must lie in (0, 1], {whose} {values[place]:g}: every client must be able to come"


def probability_problems_in(probabilities: Probabilities, world: World) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for probabilities that do not fit the number of clients."""
    if not isinstance(probabilities, Law) and np.ndim(probabilities) == 1:
        given = np.size(np.asarray(probabilities))
        if given != world.num_clients:
            yield "probabilities", f"the list has {given} entries, but there are {world.num_clients} clients"


def resolve(probabilities: Probabilities, world: World) -> Vector:
    """Return the probabilities (N,) of all clients as float64."""
    if isinstance(probabilities, Law):
        return np.asarray(probabilities.draw(world), dtype=np.float64)
    return np.broadcast_to(np.asarray(probabilities, dtype=np.float64), (world.num_clients,)).copy()
