"""fedsim runs: the runs of a store, the latest first."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedsim.store.database import RunRow


def runs(
    store: Annotated[str, typer.Option(help="The store: a file, a folder or a URL.")] = "runs/fedsim.db",
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 50,
) -> None:
    """List runs: id, name, strategy, seed, status, rounds, when, and the last evaluation."""
    from rich.console import Console
    from rich.table import Table

    from fedsim.analysis.frames import open_for_reading

    with open_for_reading(store) as opened:
        rows = opened.runs()
    table = Table(box=None, pad_edge=False)
    for column in ("run", "name", "strategy"):
        table.add_column(column, overflow="fold")
    for column in ("seed", "status", "rounds", "started", "accuracy", "loss"):
        table.add_column(column, no_wrap=True, justify="right" if column in ("seed", "accuracy", "loss") else "left")
    for row in rows[:limit]:
        table.add_row(*_cells(row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=10_000)  # a pipe has no width to obey: nothing is cut or folded there
    console.print(table)
    if len(rows) > limit:
        console.print(f"{len(rows) - limit} more; --limit shows them", highlight=False)
    if not rows:
        console.print(
            "no runs yet; `fedsim new mine` writes a scenario to start from, `fedsim demo` runs one", highlight=False
        )


def _cells(row: RunRow) -> tuple[str, ...]:
    from rich.markup import escape

    from fedsim.core.system.terminal import visible

    final = row.summary.get("final")
    final = final if isinstance(final, dict) else {}
    accuracy, loss = final.get("test_accuracy"), final.get("test_loss")
    return (
        escape(visible(row.run)),
        escape(visible(row.name)),
        escape(visible(row.strategy)),
        str(row.seed),
        escape(visible(row.status)),
        f"{row.round}/{row.rounds}",
        _when(row.started),
        f"{accuracy:.4f}" if isinstance(accuracy, float) else "",
        f"{loss:.4g}" if isinstance(loss, float) else "",
    )


def _when(seconds: float) -> str:
    """Return a time for people; a dash for one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "–"
