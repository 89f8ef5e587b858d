"""A comparison as the table of a paper: one row a strategy, one column a measure, in LaTeX, Markdown and CSV.

A mean is written to the digits that its interval leaves. The best mean is bold only where it is better than that of
every other strategy by the paired test over seeds at the level of the intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, isfinite, log10
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from fedsim.analysis.paired import LEVEL, Interval, median_reached, paired_difference
from fedsim.metrics.csv_text import harmless_texts
from fedsim.metrics.registry import unit_words

if TYPE_CHECKING:
    from fedsim.analysis.comparison import Comparison, Measure

WIDE = 20
"""Letters of a line of a column's title in LaTeX."""
TEX, MARKDOWN, CSV = "table.tex", "table.md", "table.csv"


@dataclass(frozen=True)
class Notation:
    """How a format writes text, a number in scientific notation, plus-minus, bold, and which way is better."""

    text: Callable[[str], str]
    power: str
    value: str
    interval: str
    bold: str
    up: str
    down: str


def tex(text: str) -> str:
    r"""Return text with every character that LaTeX gives a meaning written out.

    >>> print(tex("fedavg:normalise=inverse_probability & 95 %"))
    fedavg:normalise=inverse\_probability \& 95 \%
    """
    found = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    found |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"}
    found |= {"²": r"\textsuperscript{2}"}
    found |= {letter: f"\\{letter}" for letter in "&%$#_{}"}
    return "".join(found.get(letter, letter) for letter in " ".join(text.split()))


def markdown(text: str) -> str:
    r"""Return text that Markdown shows as it is, in one cell.

    >>> print(markdown("a_b | <i>"))
    a\_b \| \<i\>
    """
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>#|~" else letter for letter in " ".join(text.split()))


_TEX = Notation(tex, r"{} \times 10^{{{}}}", "${}$", r"{} \pm {}", r"\mathbf{{{}}}", r"$\uparrow$", r"$\downarrow$")
_MARKDOWN = Notation(markdown, "{}e{}", "{}", "{} ± {}", "**{}**", "↑", "↓")


def as_tex(found: Comparison) -> str:
    r"""Return the table in LaTeX; a paper needs `\usepackage{booktabs}` for it."""
    header, rows = _header(found, _TEX), _rows(found, _TEX)
    lines = [f"% {line}" for line in (*_about(found).splitlines(), r"Needs \usepackage{booktabs} in the preamble.")]
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", r"\toprule", _tex_row(header), r"\midrule"]
    lines += [*map(_tex_row, rows), r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def as_markdown(found: Comparison) -> str:
    """Return the table in Markdown, with what it says below it."""
    header, rows = _header(found, _MARKDOWN), _rows(found, _MARKDOWN)
    rule = ["---", *("---:" for _ in header[1:])]
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]
    return "\n".join([*lines, "", *(markdown(line) for line in _about(found).splitlines())]) + "\n"


def as_csv(found: Comparison) -> str:
    """Return the table's numbers unrounded: mean, ends of the interval, and whether it is bold."""
    import pandas as pd

    rows = []
    for label in found.labels:
        row: dict[str, Any] = {"strategy": label, "seeds": len(found.seeds)}
        for measure in found.measures:
            one = found.summaries[measure.name][label].interval
            row |= {measure.name: one.mean, f"{measure.name}_low": one.low, f"{measure.name}_high": one.high}
            row[f"{measure.name}_best"] = label == best(found, measure)
        if found.target is not None:
            row["rounds_to_target"] = str(median_reached(found.reached[label]))
        rows.append(row)
    return harmless_texts(pd.DataFrame(rows)).to_csv(index=False)


def best(found: Comparison, measure: Measure) -> str | None:
    """Return the strategy that is better than every other by the paired test; None where none is.

    Strategies of which no run came to its end are not compared with.
    """
    values = {label: found.values(measure, label) for label in found.labels}
    means = {label: found.summaries[measure.name][label].interval.mean for label in found.labels}
    means = {label: mean for label, mean in means.items() if isfinite(mean)}
    if len(means) < 2:
        return None
    first = (max if measure.higher else min)(means, key=means.__getitem__)
    sides = {paired_difference(values[first], values[label]).verdict for label in means if label != first}
    return first if sides == {"above" if measure.higher else "below"} else None


def rounded(mean: float, half: float) -> tuple[str, str]:
    """Return a mean and half its interval as text: two digits of the half, and the mean to the same place.

    >>> rounded(0.97214, 0.00351), rounded(12345.6, 234.0), rounded(0.5, float("nan"))
    (('0.9721', '0.0035'), ('12346', '234'), ('0.5', ''))
    """
    if not isfinite(half):
        return f"{mean:.4g}", ""
    if half == 0:
        return f"{mean:.4g}", "0"
    places = max(0, 1 - floor(log10(half)))
    return f"{mean:.{places}f}", f"{half:.{places}f}"


def _cell(one: Interval, bold: bool, form: Notation) -> str:
    if not isfinite(one.mean):
        return "–" if form is _MARKDOWN else "--"
    size = floor(log10(abs(one.mean))) if one.mean else 0
    power = size if not -3 <= size <= 5 else 0
    mean, half = rounded(one.mean / 10.0**power, one.half / 10.0**power)
    mean = form.bold.format(mean) if bold else mean
    text = form.interval.format(mean, half) if half else mean
    if power:
        text = form.power.format(f"({text})" if half else text, power)
    return form.value.format(text)


def _header(found: Comparison, form: Notation) -> list[str]:
    cells = ["strategy"]
    for measure in found.measures:
        unit = unit_words(measure.metric)
        title = f"{measure.title} ({unit})" if unit else measure.title
        cells.append(_titled(title, form.up if measure.higher else form.down, form))
    if found.target is not None:
        cells.append(_titled(f"rounds to {found.target.metric} {found.target.value:g}", form.down, form))
    return cells


def _titled(title: str, arrow: str, form: Notation) -> str:
    """Return a column's title; in LaTeX a long one has several lines."""
    lines = [form.text(line) for line in (wrap(title, WIDE) if form is _TEX else [title])]
    lines[-1] += f" {arrow}"
    return lines[0] if len(lines) == 1 else "\\shortstack[r]{" + r"\\".join(lines) + "}"


def _rows(found: Comparison, form: Notation) -> list[list[str]]:
    winners = {measure.name: best(found, measure) for measure in found.measures}
    rows = []
    for label in found.labels:
        intervals = {measure.name: found.summaries[measure.name][label].interval for measure in found.measures}
        row = [
            form.text(found.shown(label)),
            *(_cell(one, label == winners[name], form) for name, one in intervals.items()),
        ]
        if found.target is not None:
            row.append(form.value.format(str(median_reached(found.reached[label]))))
        rows.append(row)
    return rows


def _about(found: Comparison) -> str:
    count = len(found.seeds)
    failed = f"; {len(found.failed)} runs that failed are left out" if found.failed else ""
    return (
        f"{' '.join(found.name.split())}: mean ± half the {LEVEL:.0%} interval over {count} seed{'s' * (count > 1)}"
        f"{failed}.\nBold: better than every other by the paired t-test over seeds at {1 - LEVEL:.0%}."
    )


def _tex_row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
