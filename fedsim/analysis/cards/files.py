"""The files of a card: its verdicts with everything they rest on, a page, and its curves."""

from __future__ import annotations

import json
from html import escape

from fedsim.analysis import paper_figure
from fedsim.analysis.cards.result import CardResult
from fedsim.analysis.figures import draw, page
from fedsim.core.system.files import atomic_write
from fedsim.core.system.terminal import visible
from fedsim.metrics.event_json import plain

RESULT, PAGE, PICTURE, FIGURE = "card.json", "report.html", "curves.png", "curves.svg"


def write(found: CardResult) -> None:
    """Write card.json, report.html and the curves as PNG and SVG into the card's folder."""
    folder, title = found.found.folder, found.card.title
    content = json.dumps(plain(found.as_json()), indent=1, ensure_ascii=False, allow_nan=False)
    atomic_write(folder / RESULT, f"{content}\n".encode())
    tables = [found.about, *found.tables, found.runs]
    again = f"<p>fedsim reproduce {escape(found.name)}{' --quick' if found.quick else ''}</p>"
    atomic_write(folder / PAGE, page(title, found.found.panels, again + "".join(t.as_html() for t in tables)).encode())
    if found.found.panels:
        atomic_write(folder / PICTURE, draw(visible(title), found.found.panels))
        atomic_write(folder / FIGURE, paper_figure.figure(visible(title), found.found.panels, "svg"))
