"""What stands under `modulate:` of a process, and the process that it makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from fedsim.core import Process, ScenarioError, World
from fedsim.core.contracts import Ids, Vector
from fedsim.core.rng import digest, uniforms

UNKNOWN = "compares p_i(t) with its cutoff, and this process does not know its p_i; take sine or staircase"


@dataclass(frozen=True, kw_only=True)
class Modulation(ABC):
    """p_i(t), periodic in the round t, from a process's own p_i. Concrete classes carry `kind: Literal["..."]`."""

    kind: str
    """The word that chooses this kind of modulation."""
    period: Annotated[int, Ge(3), Le(10**6)] = 20
    """Rounds after which the modulation repeats."""

    @abstractmethod
    def factor(self, round: int) -> float:
        """Return by what the probabilities of a round (1-based) are multiplied, in (0, 1]."""

    def kept(self, probabilities: Vector | None, round: int) -> Any:
        """Return p_i(t) / p_i of a round: one number for all clients, or (N,)."""
        return self.factor(round)

    @property
    def needs_probabilities(self) -> bool:
        """Whether it has no meaning where the process does not know its p_i."""
        return False

    def known(self, probabilities: Vector) -> Vector:
        """Return the means of p_i(t) over a period (N,)."""
        return np.asarray(probabilities * np.mean([self.factor(t) for t in range(1, self.period + 1)]))

    def unfit(self, own: Vector | None) -> Iterator[tuple[str, str]]:
        """Yield (key, message) when a process's p_i are needed and not known, or leave a client that never comes."""
        if own is None and self.needs_probabilities:
            yield "modulate.kind", f"{self.kind} {UNKNOWN}"
        never = np.zeros(0, np.int64) if own is None else np.flatnonzero(self.known(own) == 0)
        if own is not None and never.size:
            yield (
                "modulate.cutoff",
                f"client {never[0]} (p = {own[never[0]]:g}) stays below it in every round, and {len(never)} of "
                f"{len(own)} clients could never come; lower it, or raise the probabilities",
            )

    def over(self, process: Process, world: World) -> ModulatedProcess:
        """Return a process with its probabilities modulated.

        Raises
        ------
        ScenarioError : the p_i are needed and not known, or leave a client that could never come.
        """
        for key, message in self.unfit(process.probabilities):
            raise ScenarioError(f"participation.{key}: {message}")
        return ModulatedProcess(world.seed, process, self)


@dataclass(frozen=True, eq=False)
class ModulatedProcess:
    """Who is there by a process and by a coin of its own that shows heads with probability p_i(t) / p_i <= 1.

    So P(i in S_t) = p_i(t) whatever the process is, and independent clients stay independent.
    """

    seed: int
    inner: Process
    modulation: Modulation

    @property
    def num_clients(self) -> int:
        """N."""
        return self.inner.num_clients

    def cohort(self, round: int) -> Ids:
        """Return the ids that the process has and whose coin shows heads."""
        there = self.inner.cohort(round)
        kept = self.modulation.kept(self._own, round)
        numbers = uniforms(digest(self.seed, "participation.modulate", round), there)
        there = there[numbers < (kept if np.ndim(kept) == 0 else kept[there])]
        return np.asarray(there, np.int64)

    @cached_property
    def _own(self) -> Vector | None:
        return self.inner.probabilities

    @cached_property
    def probabilities(self) -> Vector | None:
        """The mean of p_i(t) over a period (N,), None when the process does not know its p_i."""
        return None if self._own is None else self.modulation.known(self._own)
