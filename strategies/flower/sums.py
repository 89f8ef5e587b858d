"""Which sums go out in a round, to whom, and how what comes back is added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum

import numpy as np
import numpy.typing as npt

from fedsim.core import Reply
from fedsim.core.contracts import Ids
from fedsim.core.sums import BUFFERS, DELTA, Asked, Dot, LinearSum, Sums, Vector

COHORT = "cohort"
CORRECTION = "correction:"
"""Before the names of the sums that a correction asks for."""


@dataclass(frozen=True)
class SumPlan:
    """The sums sent to the nodes, where each asked sum is found again, and how sum_S delta_i is read off.

    `cohort` is (name, factor): sum_S delta_i = factor * sums[name].
    """

    sent: Mapping[str, Asked]
    source: Mapping[str, str]
    cohort: tuple[str, float] | None

    def asked(self, sums: Sums) -> dict[str, Vector]:
        """Return the sums by the names that the rule and its correction gave them."""
        return {name: sums[source] for name, source in self.source.items()}

    @property
    def everywhere(self) -> bool:
        """Whether nodes without participants have something to add."""
        return any(isinstance(one, LinearSum) and one.over == "all memories" for one in self.sent.values())

    @property
    def vectors(self) -> int:
        """How many vectors of length d a client sends: its delta, and others that sums are over."""
        return len({DELTA, *(one.of for one in self.sent.values() if isinstance(one, LinearSum))} - {BUFFERS})


def plan(asked: Mapping[str, Asked], size: int, *, coarse: bool, variance: bool) -> SumPlan:
    """Plan a round's sums over a cohort of `size`.

    `coarse`: memories are kept below float32, so that a `stored` delta differs from the delta itself.
    `variance`: sum_S delta_i is wanted, from a proportional sum where there is one, else as one more sum.
    """
    sent: dict[str, Asked] = {}
    source: dict[str, str] = {}
    for name, wanted in asked.items():
        twin = next((other for other, known in sent.items() if wanted.same(known, coarse=coarse)), None)
        source[name] = twin or name
        if twin is None:
            sent[name] = wanted
    if not variance or size == 0:
        return SumPlan(sent, source, None)
    for name, known in sent.items():
        if not isinstance(known, LinearSum) or known.of != DELTA or known.over != "cohort":
            continue
        plain = known.stale is None and not (coarse and known.stored)
        if plain and known.fresh[0] != 0 and np.all(known.fresh == known.fresh[0]):
            return SumPlan(sent, source, (name, 1.0 / float(known.fresh[0])))
    sent[COHORT] = LinearSum(np.ones(size))
    return SumPlan(sent, source, (COHORT, 1.0))


def by_node(clients: Ids, num_nodes: int, *, everywhere: bool = False) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Return (node, places of its clients) for the nodes that have any, or all nodes; nodes and places ascending."""
    home = clients % num_nodes
    order = np.argsort(home, kind="stable")
    ends = [0, *np.cumsum(np.bincount(home, minlength=num_nodes)).tolist()]
    return [(node, order[first:end]) for node, (first, end) in enumerate(pairwise(ends)) if everywhere or end > first]


def part(asked: Asked, places: npt.NDArray[np.int64], everyone: Ids | None) -> Asked:
    """Return a node's part of a sum: over its places in the cohort, or over all clients that live there."""
    if isinstance(asked, LinearSum) and asked.over == "all memories":
        assert everyone is not None, "whoever asks for all memories says who lives there"
        return asked.at(everyone)
    return asked.at(places)


def reduce(replies: Sequence[Reply], asked: Mapping[str, Asked], size: int, buffers: int = 0) -> Sums:
    """Add the nodes' sums in the order given (nodes ascending), in float64; zeros when nobody replied.

    `size` is the length of a model's parameters, `buffers` that of what moves in it without being trained.
    """
    totals: dict[str, Vector] = {}
    for name, one in asked.items():
        length = 1 if isinstance(one, Dot) else buffers if one.of == BUFFERS else size
        total = np.zeros(length)
        for reply in replies:
            total += reply.sums[name]
        totals[name] = total
    return totals


def statistics(replies: Iterable[Reply]) -> dict[str, float]:
    """Add the nodes' statistics, correctly rounded, whatever the order."""
    found: dict[str, list[float]] = {}
    for reply in replies:
        for name, value in reply.statistics.items():
            found.setdefault(name, []).append(value)
    return {name: fsum(values) for name, values in found.items()}
