"""fedsim report: runs as one file to attach to a paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[str], typer.Argument(help="Run ids, unique beginnings of them, names, or run folders.")],
    out: Annotated[Path, typer.Option(help="The file to write: .html, .png, .pdf or .svg.")],
    store: Annotated[
        str | None, typer.Option(help="The store; default beside the first run folder, else runs/fedsim.db.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading; default the runs' name.")] = None,
) -> None:
    """Write a self-contained report: set-up, curves with bands, paired tests, participation, versions and hashes.

    PDF and SVG hold the curves and differences alone, as wide as a column of a paper, with the fonts inside.
    """
    from fedsim.analysis.frames import chosen, open_for_reading
    from fedsim.core import ScenarioError

    kind = out.suffix.lower().lstrip(".")
    if kind not in ("html", "png", "pdf", "svg"):
        raise ScenarioError(f"--out {out}: a report is a file that ends in .html, .png, .pdf or .svg")
    folder = next((word for word in runs if Path(word).is_dir()), None)
    with open_for_reading(store or folder or "runs/fedsim.db") as opened:
        rows = chosen(opened.runs(), runs)
        from fedsim.analysis.report import report as reported
        from fedsim.core.system.files import atomic_write

        made = reported(opened, rows, title)
        written: dict[str, Callable[[], bytes]] = {
            "html": lambda: made.html().encode(),
            "png": made.png,
            "pdf": lambda: made.figure("pdf"),
            "svg": lambda: made.figure("svg"),
        }
        atomic_write(out, written[kind]())
    groups = len(made.grouped)
    typer.echo(f"{out}: {len(rows)} run{'s' * (len(rows) > 1)} in {groups} group{'s' * (groups > 1)}")
