"""Which sums have to travel: equal ones once, and one more only if the update variance needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedsim.core.contracts import LinearSum, Sums, Vector

COHORT = "cohort"


@dataclass(frozen=True)
class SumPlan:
    """The sums sent to the nodes, where each asked sum is found again, and how sum_S delta_i is read off.

    `cohort` is (name, factor): sum_S delta_i = factor * sums[name].
    """

    sent: Mapping[str, LinearSum]
    source: Mapping[str, str]
    cohort: tuple[str, float] | None

    def asked(self, sums: Sums) -> dict[str, Vector]:
        """Return the sums by the names that the rule gave them."""
        return {name: sums[source] for name, source in self.source.items()}


def _same(one: LinearSum, other: LinearSum, coarse: bool) -> bool:
    if coarse and one.stored != other.stored:
        return False
    if (one.stale is None) != (other.stale is None):
        return False
    if one.stale is not None and other.stale is not None and not np.array_equal(one.stale, other.stale):
        return False
    return np.array_equal(one.fresh, other.fresh)


def plan(asked: Mapping[str, LinearSum], size: int, *, coarse: bool, variance: bool) -> SumPlan:
    """Plan a round's sums over a cohort of `size`.

    `coarse`: memories are kept below float32, so that a `stored` delta differs from the delta itself.
    `variance`: sum_S delta_i is wanted, from a proportional sum where there is one, else as one more sum.
    """
    sent: dict[str, LinearSum] = {}
    source: dict[str, str] = {}
    for name, wanted in asked.items():
        twin = next((other for other, known in sent.items() if _same(wanted, known, coarse)), None)
        source[name] = twin or name
        if twin is None:
            sent[name] = wanted
    if not variance or size == 0:
        return SumPlan(sent, source, None)
    for name, known in sent.items():
        plain = known.stale is None and not (coarse and known.stored)
        if plain and known.fresh[0] != 0 and np.all(known.fresh == known.fresh[0]):
            return SumPlan(sent, source, (name, 1.0 / float(known.fresh[0])))
    sent[COHORT] = LinearSum(np.ones(size))
    return SumPlan(sent, source, (COHORT, 1.0))
