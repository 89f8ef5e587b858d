"""What a paper claims, as something that can be checked: one measure, one line of a comparison against another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, Literal

from annotated_types import Gt, MinLen

from fedsim.analysis.paired import LEVEL, Difference, Reached, log_rank_z, paired_difference
from fedsim.core.foreign.words import did_you_mean
from fedsim.metrics.registry import METRICS, metric_of

ROUNDS = "rounds_to_target"
"""The measure that counts rounds until the card's target is reached."""
Side = Literal["above", "below", "within"]
Verdict = Literal["holds", "fails", "undecided"]
WORDS: dict[str, str] = {"holds": "holds", "fails": "fails", "undecided": "undecided at this power"}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim: `of` is `above`, `below` or `within` a margin of another line of the comparison, or of a number.

    d is the difference to the other line within each seed (`times` scales the other line first), or to the number. The
    claim is d > by (above), d < -by (below) or -by <= d <= by (within).
    """

    says: Annotated[str, MinLen(1)]
    """The claim in words."""
    metric: Annotated[str, MinLen(1)] = "test_accuracy"
    """A metric at the end (the mean of the last `card.last` evaluations; of variances and biases the mean over rounds),
    or rounds_to_target, the rounds until `card.target`."""
    of: Annotated[str, MinLen(1)]
    """The line of the comparison that it is about, by its label: fedvarp, fedstale:beta=0.2, a variant's name."""
    above: str | float | None = None
    """The other line, or a number, that it is above."""
    below: str | float | None = None
    """The other line, or a number, that it is below."""
    within: str | float | None = None
    """The other line, or a number, from which it is at most `by` away."""
    by: float = 0.0
    """The margin, in the metric's unit; below 0 for "not worse by more than"."""
    times: Annotated[float, Gt(0)] = 1.0
    """The other line's value is multiplied by it: {of: a, below: b, times: 0.25} says a is below a quarter of b."""

    @property
    def side(self) -> Side:
        """Which of the three it is."""
        return "above" if self.above is not None else "below" if self.below is not None else "within"

    @property
    def other(self) -> str | float:
        """The other line, or the number."""
        found: str | float | None = getattr(self, self.side)
        assert found is not None, "a claim that was validated has one"
        return found

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for a claim that says nothing."""
        given = [side for side in ("above", "below", "within") if getattr(self, side) is not None]
        if len(given) != 1:
            yield (
                (given[1] if given else "of"),
                "give one of above, below and within, a line or a number"
                + (f"; got {' and '.join(given)}" if given else ""),
            )
            return
        if self.side == "within" and self.by <= 0:
            yield "by", f"must be above 0: how far from {self.other} it may be; got {self.by:g}"
        if self.times != 1 and not isinstance(self.other, str):
            yield "times", "multiplies another line; here the claim is against a number"
        if self.of == self.other and self.times == 1:
            yield self.side, f"{self.of} is compared with itself"
        if self.metric == ROUNDS and not isinstance(self.other, str):
            yield self.side, "rounds to the target are compared with those of another line; give its label"
        if self.metric != ROUNDS and metric_of(self.metric) is None:
            yield "metric", f"{self.metric!r} is no metric{did_you_mean(self.metric, (*METRICS, ROUNDS))}"

    def __str__(self) -> str:
        """Return the claim as what is checked.

        >>> print(Claim(says="", metric="test_loss", of="a", below="b", times=0.5, by=0.1))
        test_loss of a below 0.5 x b by 0.1
        """
        other = self.other if isinstance(self.other, str) else f"{self.other:g}"
        scaled = other if self.times == 1 else f"{self.times:g} x {other}"
        return f"{self.metric} of {self.of} {self.side} {scaled}" + (f" by {self.by:g}" if self.by else "")


@dataclass(frozen=True)
class Judged:
    """A claim and its verdict: the difference that was found, over so many seeds, and what else there is to say."""

    claim: Claim
    verdict: Verdict
    found: Difference
    note: str = ""

    @property
    def words(self) -> str:
        """The verdict as it is told."""
        return WORDS[self.verdict]

    def as_json(self) -> dict[str, Any]:
        """Return what a file holds of it."""
        difference = {"mean": self.found.mean, "low": self.found.low, "high": self.found.high, "p": self.found.p_value}
        return {
            "says": self.claim.says,
            "metric": self.claim.metric,
            "checked": str(self.claim),
            "verdict": self.words,
            "difference": difference,
            "seeds": self.found.count,
            "note": self.note,
        }


def judge(claim: Claim, ours: Sequence[float], theirs: Sequence[float] | None = None) -> Judged:
    """Return the verdict on a claim whose line came to `ours`, a value a seed, and the other line, if any, to `theirs`.

    It holds when the interval of the mean difference lies wholly on the claimed side, fails when it lies wholly on the
    other, and is undecided in between, or with fewer than two seeds. A value that is not finite is no value.

    >>> claim = Claim(says="a is better", of="a", above="b")
    >>> [judge(claim, ours, [0.5, 0.6]).verdict for ours in ([0.7, 0.81], [0.3, 0.41], [0.4, 0.7])]
    ['holds', 'fails', 'undecided']
    """
    other = claim.other
    base = [float(other)] * len(ours) if not isinstance(other, str) else [claim.times * b for b in theirs or ()]
    found = paired_difference(ours, base)
    low, high = found.low, found.high
    if found.count < 2:
        why = "nothing was measured" if found.count == 0 else "one seed has no interval"
        return Judged(claim, "undecided", found, why)
    if claim.side == "within":
        holds, fails = -claim.by <= low and high <= claim.by, low > claim.by or high < -claim.by
    elif claim.side == "above":
        holds, fails = low > claim.by, high <= claim.by
    else:
        holds, fails = high < -claim.by, low >= -claim.by
    lost = len(ours) - found.count
    note = f"{lost} seed{'s' * (lost > 1)} without a value left out" if lost else ""
    return Judged(claim, "holds" if holds else "fails" if fails else "undecided", found, note)


def judge_rounds(claim: Claim, ours: Sequence[Reached], theirs: Sequence[Reached]) -> Judged:
    """Return the verdict on a claim about rounds to the target.

    Where every run got there it is the paired test of all claims. Else no difference can be formed, and a claim without
    a margin is judged by the log-rank test, which counts a run as followed until its last round.
    """
    if not any(one.censored for one in (*ours, *theirs)):
        return judge(claim, [float(one.round) for one in ours], [float(one.round) for one in theirs])
    none = paired_difference([], [])
    missed = sum(one.censored for one in (*ours, *theirs))
    never = f"{missed} run{'s' * (missed > 1)} never reached the target"
    if claim.by or claim.times != 1 or claim.side == "within":
        return Judged(claim, "undecided", none, f"{never}: no difference can be formed")
    z, p = log_rank_z(ours, theirs)
    note = f"{never}; log-rank test" + (f", p = {p:.2g}" if isfinite(p) else ": nothing to compare")
    if not isfinite(p) or p >= 1 - LEVEL or z == 0:
        return Judged(claim, "undecided", none, note)
    sooner = z > 0
    return Judged(claim, "holds" if sooner == (claim.side == "below") else "fails", none, note)
