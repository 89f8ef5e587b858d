"""A card: what a scenario needs beside itself to be the set-up of a paper, with its claims and a quick form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, MinLen

from fedsim.analysis.cards.claims import ROUNDS, Claim
from fedsim.core.foreign.words import did_you_mean
from fedsim.metrics.registry import METRICS, metric_of, out_of_reach

Text = Annotated[str, MinLen(1)]
NOT_READ = "not read"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a set-up and its claims come from."""

    paper: Text
    """Authors, title or method, where it appeared, its arXiv number."""
    code: Text = NOT_READ
    """The authors' code, if it was read."""
    commit: Text = NOT_READ
    """The commit of it that was read."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A level of a metric, for rounds_to_target."""

    metric: Text
    """The metric."""
    value: float
    """The level that is to be reached."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for a level that nothing reaches."""
        if metric_of(self.metric) is None:
            yield "metric", f"{self.metric!r} is no metric{did_you_mean(self.metric, METRICS)}"
        elif (never := out_of_reach(self.metric, self.value)) is not None:
            yield "value", never


@dataclass(frozen=True, kw_only=True)
class Published:
    """A number that the paper prints, as it was read there."""

    of: Text
    """The line of the comparison."""
    metric: Text = "test_accuracy"
    """The metric, in fedsim's unit: accuracies are shares."""
    value: float
    """The number."""
    spread: float | None = None
    """What stands behind its plus-minus."""
    where: Text
    """The table, figure or page."""


@dataclass(frozen=True, kw_only=True)
class Hours:
    """Hours of machine to expect, on two cores."""

    full: Annotated[float, Gt(0)]
    """The whole card."""
    quick: Annotated[float, Gt(0)]
    """Its quick form."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What makes a scenario the set-up of a paper: source, what is ours, claims, hours and a quick form.

    `fedsim reproduce` runs it; its lines are those of `compare:`.
    """

    title: Text
    """One line."""
    source: Source
    """Paper, and code where it was read."""
    ours: tuple[Text, ...] = ()
    """What differs from the paper, or was not read and is our choice."""
    files: str | None = None
    """Which files to bring, and where to, where `fedsim data get` cannot fetch the data."""
    claims: Annotated[tuple[Claim, ...], MinLen(1)]
    """What is checked."""
    published: tuple[Published, ...] = ()
    """Numbers of the paper that were read."""
    seeds: Annotated[int, Ge(1)] = 5
    """How many seeds, from the scenario's own on."""
    last: Annotated[int, Ge(1)] = 1
    """Final values are means over so many last evaluations."""
    baseline: str | None = None
    """The line that the tables compare with; default the first."""
    target: Goal | None = None
    """What rounds_to_target counts to."""
    hours: Hours
    """What it takes."""
    quick: Annotated[Mapping[str, Any], MinLen(1)]
    """The quick form: dotted keys and their values, laid over the file: {rounds: 100, card.seeds: 3}."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that claims and published numbers are about."""
        named = [*(one.metric for one in self.claims), *(one.metric for one in self.published)]
        return tuple(dict.fromkeys(name for name in named if name != ROUNDS))

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for what does not fit together."""
        for place, claim in enumerate(self.claims):
            if claim.metric == ROUNDS and self.target is None:
                yield f"claims.{place}.metric", "needs card.target, the level whose rounds are counted"
        for place, one in enumerate(self.published):
            if metric_of(one.metric) is None:
                yield f"published.{place}.metric", f"{one.metric!r} is no metric{did_you_mean(one.metric, METRICS)}"
