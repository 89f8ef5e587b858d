"""The files of a comparison: its table, everything that was found, a picture, a page, and what a paper needs."""

from __future__ import annotations

import json

from fedsim.analysis import paper_figure, paper_table
from fedsim.analysis.comparison import Comparison
from fedsim.analysis.comparison_tables import tables
from fedsim.analysis.figures import draw, page
from fedsim.core.system.files import atomic_write
from fedsim.core.system.terminal import visible
from fedsim.metrics.csv_text import harmless_texts
from fedsim.metrics.event_json import plain

TABLE, RESULT, PICTURE, PAGE = "comparison.csv", "comparison.json", "comparison.png", "comparison.html"
FIGURE = "comparison.pdf"


def write(found: Comparison) -> None:
    """Write the results, the picture, the page, and figure and tables for a paper into the comparison's folder."""
    rows = "".join(table.as_html() for table in tables(found))
    atomic_write(found.folder / TABLE, harmless_texts(found.table.reset_index()).to_csv(index=False).encode())
    content = json.dumps(plain(found.as_json()), indent=2, allow_nan=False)
    atomic_write(found.folder / RESULT, f"{content}\n".encode())
    atomic_write(found.folder / PICTURE, draw(visible(found.name), found.panels))
    atomic_write(found.folder / PAGE, page(found.name, found.panels, rows).encode())
    for name, text in (
        (paper_table.TEX, paper_table.as_tex(found)),
        (paper_table.MARKDOWN, paper_table.as_markdown(found)),
        (paper_table.CSV, paper_table.as_csv(found)),
    ):
        atomic_write(found.folder / name, text.encode())
    if found.panels:
        atomic_write(found.folder / FIGURE, paper_figure.figure(visible(found.name), found.panels, "pdf"))
