"""A comparison for people: one small table for each measure."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from fedsim.analysis.paired import Difference, median_reached
from fedsim.analysis.tables import Table, number, with_interval
from fedsim.metrics.registry import higher_is_better

if TYPE_CHECKING:
    from fedsim.analysis.comparison import Comparison


def tables(found: Comparison) -> list[Table]:
    """Return the tables of a comparison: one for each measure, then the rounds to the target."""
    made = [_measure_table(found, k) for k in range(len(found.measures))]
    return [*made, _target_table(found)] if found.target is not None else made


def _measure_table(found: Comparison, place: int) -> Table:
    measure = found.measures[place]
    end = "last round" if found.last == 1 else f"mean of the last {found.last} evaluations"
    probed = "mean over probes" if measure.metric.startswith("probe") else "mean over rounds"
    when = "the whole run" if measure.name == "objective_tv" else probed if measure.per_round else end
    direction = "higher" if measure.higher else "lower"
    rows = []
    for label in found.labels:
        summary = found.summaries[measure.name][label]
        if summary.difference is None:
            rows.append((found.shown(label), with_interval(summary.interval), "baseline", "", ""))
        else:
            test = _p(summary.difference), number(summary.p_holm, ".2g")
            rows.append(
                (found.shown(label), with_interval(summary.interval), difference_words(summary.difference), *test)
            )
    header = ("", "mean ± 95 %", f"difference to {found.baseline}", "p", "p (Holm)")
    return Table(f"{measure.title} ({when}; {direction} is better)", header, tuple(rows))


def _target_table(found: Comparison) -> Table:
    assert found.target is not None, "asked for only when there is one"
    target, rows = found.target, []
    sign = "at least" if higher_is_better(target.metric) else "at most"
    chosen = "; 95 % of the way to the best mean" if target.chosen else ""
    for label in found.labels:
        reached = found.reached[label]
        count = sum(not one.censored for one in reached)
        cells = [found.shown(label), str(median_reached(reached)), f"{count}/{len(reached)}"]
        if label == found.baseline:
            cells += ["baseline", ""]
        else:
            cells += [difference_words(found.saved(label), ".4g"), number(found.reached_p(label), ".2g")]
        rows.append(tuple(cells))
    header = ("", "median", "reached", f"difference to {found.baseline}", "p (log-rank)")
    note = " (>: not within these rounds; –: no difference where a run never did)"
    censored = any(one.censored for each in found.reached.values() for one in each)
    title = f"rounds until {target.metric} is {sign} {target.value:g}{chosen}{note if censored else ''}"
    return Table(title, header, tuple(rows))


def _p(found: Difference) -> str:
    return "<1e-16" if found.p_value < 1e-16 else number(found.p_value, ".2g")


def difference_words(found: Difference, form: str = ".3g") -> str:
    """Write a mean difference and its interval."""
    if not isfinite(found.mean):
        return "–"
    if not isfinite(found.low):
        return f"{found.mean:+{form}}"
    middle = 0.0 if abs(found.mean) < 1e-9 * found.half else found.mean  # no rounding error dressed as a difference
    return f"{middle:+{form}} [{found.low:+{form}}, {found.high:+{form}}]"
