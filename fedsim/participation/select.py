"""`select:` of a process: the server takes some of those who are available."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from fedsim.core import Process, World
from fedsim.core.contracts import Ids, Vector
from fedsim.core.rng import digest, uniforms

LONGEST = 10_000
"""The longest period over which the share of rounds of each client is counted."""


@dataclass(frozen=True, kw_only=True)
class Select:
    """The server samples among those who are available, e.g. {size: 10, how: uniform}: never more than there are.

    With `cyclic` this is cyclic client participation: Cho et al., "On the convergence of federated averaging with
    cyclic client participation", ICML 2023. Where everybody available is the same in every period (`full`, `uniform`,
    `cyclic`) the p_i are counted exactly and known; elsewhere a process with `select` does not know them.
    """

    size: Annotated[int, Ge(1)]
    """Clients a round; all who are available where these are fewer."""
    how: Literal["uniform"] = "uniform"
    """Every subset of the size is equally likely."""

    def over(self, process: Process, world: World) -> SelectedProcess:
        """Return a process of which some are selected."""
        return SelectedProcess(world.seed, process, self.size)


@dataclass(frozen=True, eq=False)
class SelectedProcess:
    """The `size` clients with the smallest keyed uniform numbers of those that a process has in the round.

    So cohorts nest: a larger size with the same seed selects the same clients and more.
    """

    seed: int
    inner: Process
    size: int

    @property
    def num_clients(self) -> int:
        """N."""
        return self.inner.num_clients

    def cohort(self, round: int) -> Ids:
        """Return min(size, available) ids, every subset of the available equally likely."""
        there = self.inner.cohort(round)
        if len(there) <= self.size:
            return there
        numbers = uniforms(digest(self.seed, "participation.select", round), there)
        return np.sort(there[np.argsort(numbers, kind="stable")[: self.size]])

    @cached_property
    def probabilities(self) -> Vector | None:
        """The share of rounds of each client (N,), None where it depends on who else comes by chance."""
        own = self.inner.probabilities
        fixed = getattr(self.inner, "fixed_size", None)
        if fixed is not None and own is not None:
            return np.asarray(own * (min(self.size, fixed) / fixed), np.float64)
        period = getattr(self.inner, "period", None)
        if own is None or period is None or period > LONGEST:
            return None
        found = np.zeros(self.num_clients)
        for round in range(1, period + 1):
            there = self.inner.cohort(round)
            found[there] += min(1.0, self.size / max(len(there), 1))
        return np.asarray(found / period, np.float64)
