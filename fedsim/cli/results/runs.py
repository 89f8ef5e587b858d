"""fedsim runs: the runs of a store, the latest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedsim.store.database import RunRow, Store

ARCHIVED = "archived"
"""The tag of runs that the list leaves out unless it is asked for them."""


def runs(
    store: Annotated[str, typer.Option(help="The store: a file, a folder or a URL.")] = "runs/fedsim.db",
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 50,
    tag: Annotated[
        str | None, typer.Option(help="Only runs with this tag; `archived` shows those hidden else.")
    ] = None,
    search: Annotated[str | None, typer.Option(help="Only runs that all these words are found in.")] = None,
) -> None:
    """List runs: id, name, strategy, seed, status, rounds, when, and the last evaluation.

    Where there is something to tell: the folder that a run shares with others (a comparison, a sweep), what differs
    between runs of one name, and tags with their notes. --search looks into all of these but differences, for part of a
    word, whatever its case.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from fedsim.analysis.frames import open_for_reading
    from fedsim.analysis.grouping import differences
    from fedsim.core.system.terminal import visible
    from fedsim.store.tags import tags_of

    with open_for_reading(store) as opened:
        tags = tags_of(opened)
        every = [Line(row, _group(row, opened), tags.get(row.run, {})) for row in opened.runs()]
    rows = [line for line in every if line.wanted(tag, (search or "").casefold().split())]
    shown = rows[:limit]
    apart = differences([line.row for line in shown])
    more = {
        "group": [line.group for line in shown],
        "differs": [apart[line.row.run] for line in shown],
        "tags": [line.tagged for line in shown],
    }
    more = {title: cells for title, cells in more.items() if any(cells)}
    table = Table(box=None, pad_edge=False)
    for column in ("run", "name", "strategy"):
        table.add_column(column, overflow="fold")
    for column in ("seed", "status", "rounds", "started"):
        table.add_column(column, no_wrap=True, justify="right" if column == "seed" else "left")
    for column in more:
        table.add_column(column, overflow="fold")
    for column in ("accuracy", "loss"):
        table.add_column(column, no_wrap=True, justify="right")
    for place, line in enumerate(shown):
        cells = _cells(line.row)
        table.add_row(*cells[:-2], *(escape(visible(column[place])) for column in more.values()), *cells[-2:])
    console = Console()
    if not console.is_terminal:
        console = Console(width=10_000)  # a pipe has no width to obey: nothing is cut or folded there
    console.print(table)
    if len(rows) > limit:
        console.print(f"{len(rows) - limit} more; --limit shows them", highlight=False)
    if every and not rows:
        console.print("no run is so; `fedsim runs` alone lists all that are not archived", highlight=False)
    if not every:
        console.print(
            "no runs yet; `fedsim new mine` writes a scenario to start from, `fedsim demo` runs one", highlight=False
        )


@dataclass(frozen=True)
class Line:
    """A run in the list: its row, the folder that it shares with others, its tags and their notes."""

    row: RunRow
    group: str
    tags: Mapping[str, str]

    @property
    def tagged(self) -> str:
        """What the list shows of the tags."""
        return ", ".join(f"{tag} ({note})" if note else tag for tag, note in self.tags.items())

    def wanted(self, tag: str | None, words: Sequence[str]) -> bool:
        """Return whether the run is to be listed; one that is archived only when that is asked for."""
        row = self.row
        if (tag is not None and tag not in self.tags) or (tag != ARCHIVED and ARCHIVED in self.tags):
            return False
        places = (row.run, row.name, row.strategy, str(row.seed), row.status, row.folder, self.group, self.tagged)
        text = "\n".join(places).casefold()
        return all(word in text for word in words)


def _group(row: RunRow, store: Store) -> str:
    """Return the name of the folder that a run of a comparison or sweep is in; nothing for one beside its store."""
    from fedsim.metrics.address import file_of

    file, parent = file_of(store.url), Path(row.folder).parent
    return "" if not row.folder or (file is not None and file.absolute().parent == parent) else parent.name


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
