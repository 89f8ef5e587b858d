"""The four files of a comparison: its table, everything that was found, a picture and a page."""

from __future__ import annotations

import json

from fedsim.analysis.comparison import Comparison
from fedsim.analysis.comparison_tables import tables
from fedsim.analysis.figures import draw, page
from fedsim.core.system.files import atomic_write
from fedsim.core.system.terminal import visible
from fedsim.metrics.csv_text import harmless_texts
from fedsim.metrics.event_json import plain

TABLE, RESULT, PICTURE, PAGE = "comparison.csv", "comparison.json", "comparison.png", "comparison.html"


def write(found: Comparison) -> None:
    """Write comparison.csv, .json, .png and .html into the comparison's folder."""
    rows = "".join(table.as_html() for table in tables(found))
    atomic_write(found.folder / TABLE, harmless_texts(found.table.reset_index()).to_csv(index=False).encode())
    content = json.dumps(plain(found.as_json()), indent=2, allow_nan=False)
    atomic_write(found.folder / RESULT, f"{content}\n".encode())
    atomic_write(found.folder / PICTURE, draw(visible(found.name), found.panels))
    atomic_write(found.folder / PAGE, page(found.name, found.panels, rows).encode())
