"""Speeds of clients' devices: a number, a list, or a law that draws one for each client."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, MinLen

from fedsim.core.config.tagged import Tagged
from fedsim.core.contracts import Vector
from fedsim.core.rng import stream

Positive = Annotated[float, Gt(0)]


@dataclass(frozen=True, kw_only=True)
class SpeedLaw(ABC):
    """A way to give each client a speed. Concrete classes carry `law: Literal["..."]`."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, num_clients: int) -> Vector:
        """Return positive speeds (N,), clients in order: one more client changes nobody else's."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        yield from ()


@dataclass(frozen=True, kw_only=True)
class LogNormal(SpeedLaw):
    """median * exp(sigma z) with z standard normal: a few devices are much faster, a few much slower."""

    law: Literal["lognormal"] = "lognormal"
    median: Positive
    """Half of the clients are faster."""
    sigma: Annotated[float, Ge(0)] = 1.0
    """Spread of the logarithm."""

    def draw(self, rng: np.random.Generator, num_clients: int) -> Vector:
        """Return the speeds (N,)."""
        return self.median * np.exp(self.sigma * rng.standard_normal(num_clients))


@dataclass(frozen=True, kw_only=True)
class TwoSpeeds(SpeedLaw):
    """The first round(share * N) clients have speed high, the others low."""

    law: Literal["two_level"] = "two_level"
    share: Annotated[float, Ge(0), Le(1)] = 0.5
    """Share of fast clients."""
    high: Positive
    """Speed of the first clients."""
    low: Positive
    """Speed of the rest."""

    def draw(self, rng: np.random.Generator, num_clients: int) -> Vector:
        """Return the speeds (N,)."""
        return np.where(np.arange(num_clients) < round(self.share * num_clients), self.high, self.low)


@dataclass(frozen=True, kw_only=True)
class UniformSpeeds(SpeedLaw):
    """Uniform between low and high, independent over clients."""

    law: Literal["uniform"] = "uniform"
    low: Positive
    """Smallest speed."""
    high: Positive
    """Largest speed."""

    def draw(self, rng: np.random.Generator, num_clients: int) -> Vector:
        """Return the speeds (N,)."""
        return self.low + (self.high - self.low) * rng.random(num_clients)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for an empty range."""
        if self.low > self.high:
            yield "low", f"must not exceed high ({self.high:g}), got {self.low:g}"


Speeds = (
    Positive
    | Annotated[tuple[Positive, ...], MinLen(1)]
    | Annotated[LogNormal | TwoSpeeds | UniformSpeeds, Tagged("law")]
)


def speed_problems(speeds: Speeds) -> Iterator[tuple[str, str]]:
    """Yield (key below the speed's own, message) for speeds that are wrong whatever the number of clients."""
    if isinstance(speeds, SpeedLaw):
        yield from speeds.problems()
    elif not all(0 < speed < np.inf for speed in np.atleast_1d(np.asarray(speeds, dtype=np.float64))):
        yield "", f"must be positive and finite, got {speeds}"


def resolve_speeds(speeds: Speeds, seed: int, name: str, num_clients: int) -> Vector:
    """Return the speeds (N,) of one kind; kinds draw independently of each other."""
    if isinstance(speeds, SpeedLaw):
        return np.asarray(speeds.draw(stream(seed, f"devices.{name}"), num_clients), dtype=np.float64)
    return np.broadcast_to(np.asarray(speeds, dtype=np.float64), (num_clients,)).copy()
