"""Figures for a paper: as wide as a column, with the fonts inside, as PDF or SVG; the same input gives the same bytes.

Colours stay apart for colour-blind readers, and dashes where a page is printed in grey.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import ceil
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

from fedsim.analysis.figures import COLOURS, DASHES, STYLE, Forest, Panel, draw_curves, draw_forest, labels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMN, TEXT, HEIGHT = 3.3, 6.75, 2.1
"""Inches: the column and the text of a two-column paper, and what a panel takes of its height."""
LETTER = 0.062
"""Inches of a letter of the legend."""
LINE = 28
"""Letters of a line along an axis; a longer title has two."""
STACKED = 3
"""Panels below each other in one column; more stand in two columns, over the width of the page."""
_STYLE: dict[Any, Any] = STYLE | {
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "pdf.fonttype": 42,  # TrueType, whole: what submission systems ask for
    "svg.fonttype": "path",  # letters as shapes: no font has to be there
    "svg.hashsalt": "fedsim",
}


def figure(title: str, panels: Sequence[Panel | Forest], kind: Literal["pdf", "svg"]) -> bytes:
    """Return the panels as a vector figure with one legend, each panel with its measure and unit along its axis.

    The title is kept in the file's metadata: a paper has captions.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    assert panels, "a figure has something to show"
    labels = labels_of(panels)
    columns = 1 if len(panels) <= STACKED else 2
    rows = ceil(len(panels) / columns)
    width = COLUMN if columns == 1 else TEXT
    across = max(1, min(4 * columns, len(labels), int(width / (0.5 + LETTER * max(map(len, labels), default=1)))))
    legend = 0.15 * ceil(len(labels) / across) + 0.08
    height = HEIGHT * rows + legend
    with rc_context(_STYLE):
        made = Figure(figsize=(width, height))
        made.set_layout_engine("constrained", w_pad=0.03, h_pad=0.04, rect=(0, 0, 1, 1 - legend / height))
        lines = [
            Line2D([], [], color=COLOURS[k % len(COLOURS)], ls=DASHES[k % len(DASHES)], lw=1.2)
            for k in range(len(labels))
        ]
        made.legend(lines, labels, loc="upper center", ncols=across, handlelength=2.4, columnspacing=1.2, borderpad=0.1)
        for place, panel in enumerate(panels):
            _panel(made.add_subplot(rows, columns, place + 1), panel, labels)
        file = io.BytesIO()
        about: dict[str, Any] = {"CreationDate": None} if kind == "pdf" else {"Date": None}
        made.savefig(file, format=kind, metadata=about | {"Title": title})
    return file.getvalue()


def _panel(axes: Axes, panel: Panel | Forest, labels: Sequence[str]) -> None:
    if isinstance(panel, Panel):
        draw_curves(axes, panel, labels, scale=0.7)
        axes.set_ylabel(fill(f"{panel.title} ({panel.unit})" if panel.unit else panel.title, LINE))
    else:
        draw_forest(axes, panel, labels, scale=0.7)
        axes.set_xlabel(fill(panel.title, 2 * LINE))
    axes.set_title("")
