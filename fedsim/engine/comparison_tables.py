"""A comparison for people: one small table for each measure, as plain text, Markdown or HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import TYPE_CHECKING

from fedsim.metrics.paired import Difference, Interval, higher_is_better, median_reached

if TYPE_CHECKING:
    from fedsim.engine.comparison import Comparison


@dataclass(frozen=True)
class Table:
    """A title, a header and rows of text, the first column being the strategy."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_text(self) -> str:
        """Return aligned lines for a terminal."""
        widths = [max(len(row[k]) for row in (self.header, *self.rows)) for k in range(len(self.header))]

        def line(row: Sequence[str]) -> str:
            cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
            return "  ".join([f"  {row[0]:<{widths[0]}}", *cells]).rstrip()

        return "\n".join([self.title, line(self.header), *map(line, self.rows)])

    def as_markdown(self) -> str:
        """Return a Markdown table with its title in bold above."""
        rule = "|".join([":--"] + ["--:"] * (len(self.header) - 1))
        lines = [f"| {' | '.join(row)} |" for row in (self.header, *self.rows)]
        return "\n".join([f"**{self.title}**", "", lines[0], f"|{rule}|", *lines[1:]])

    def as_html(self) -> str:
        """Return an HTML table; every cell is escaped."""
        head = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in self.header)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        return f"<table><caption>{escape(self.title)}</caption><tr>{head}</tr>{body}</table>"


def tables(found: Comparison) -> list[Table]:
    """Return the tables of a comparison: one for each measure, then the rounds to the target."""
    made = [_measure_table(found, k) for k in range(len(found.measures))]
    return [*made, _target_table(found)] if found.target is not None else made


def _measure_table(found: Comparison, place: int) -> Table:
    measure = found.measures[place]
    when = "mean over rounds" if measure.per_round else "last round" if found.last == 1 else f"last {found.last}"
    direction = "higher" if measure.higher else "lower"
    rows = []
    for label in found.labels:
        summary = found.summaries[measure.name][label]
        if summary.difference is None:
            rows.append((label, _with_interval(summary.interval), "baseline", "", ""))
        else:
            test = _p(summary.difference), _number(summary.p_holm, ".2g")
            rows.append((label, _with_interval(summary.interval), _difference(summary.difference), *test))
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
        cells = [label, str(median_reached(reached)), f"{count}/{len(reached)}"]
        if label == found.baseline:
            cells += ["baseline", ""]
        else:
            both = [*reached, *found.reached[found.baseline]]
            saved = found.saved(label)
            cells += [_difference(saved, ".4g") + (" *" if any(one.censored for one in both) else ""), _p(saved)]
        rows.append(tuple(cells))
    header = ("", "median", "reached", f"difference to {found.baseline}", "p")
    note = " (>: not within these rounds; *: some runs never did and count with their last round)"
    censored = any(one.censored for each in found.reached.values() for one in each)
    title = f"rounds until {target.metric} is {sign} {target.value:g}{chosen}{note if censored else ''}"
    return Table(title, header, tuple(rows))


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if isfinite(value) else "–"


def _p(found: Difference) -> str:
    return "<1e-16" if found.p_value < 1e-16 else _number(found.p_value, ".2g")


def _with_interval(found: Interval) -> str:
    if not isfinite(found.mean):
        return "–"
    return f"{found.mean:.4g} ± {found.half:.2g}" if isfinite(found.half) else f"{found.mean:.4g}"


def _difference(found: Difference, form: str = ".3g") -> str:
    if not isfinite(found.mean):
        return "–"
    if not isfinite(found.low):
        return f"{found.mean:+{form}}"
    return f"{found.mean:+{form}} [{found.low:+{form}}, {found.high:+{form}}]"
