"""Small tables of text, for the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

from fedsim.analysis.paired import Interval


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

    def as_html(self) -> str:
        """Return an HTML table; every cell is escaped."""
        head = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in self.header)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        return f"<table><caption>{escape(self.title)}</caption><tr>{head}</tr>{body}</table>"


def number(value: float, form: str) -> str:
    """Write a number; a dash for what is none."""
    return f"{value:{form}}" if isfinite(value) else "–"


def with_interval(found: Interval) -> str:
    """Write a mean and half its interval.

    >>> with_interval(Interval(0.5, 0.4, 0.6, 5)), with_interval(Interval(0.5, float("nan"), float("nan"), 1))
    ('0.5 ± 0.1', '0.5')
    """
    if not isfinite(found.mean):
        return "–"
    return f"{found.mean:.4g} ± {found.half:.2g}" if isfinite(found.half) else f"{found.mean:.4g}"
