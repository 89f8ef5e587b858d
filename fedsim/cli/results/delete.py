"""fedsim delete: runs that nobody wants any more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
import typer

if TYPE_CHECKING:
    from fedsim.store.database import RunRow


def delete(
    runs: Annotated[list[str], typer.Argument(help="Run ids, unique beginnings of them, names, or run folders.")],
    folders: Annotated[bool, typer.Option("--folders", help="Delete the run folders too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: Annotated[str, typer.Option(help="The store: a file, a folder or a URL.")] = "runs/fedsim.db",
) -> None:
    """Delete runs from a store, for good; `fedsim tag RUN archived` only hides them."""
    import shutil
    from contextlib import ExitStack

    from fedsim.analysis.frames import chosen, open_for_writing
    from fedsim.core.errors import ScenarioError
    from fedsim.engine.run.folder import reopen
    from fedsim.store.tags import forget

    with open_for_writing(store) as opened:
        rows = chosen(opened.runs(), runs)
        held = [row for row in rows if _is_folder_of(row)]
        for row in rows:
            where = f", and {row.folder}" if folders and row in held else ""
            typer.echo(f"{row.run}  {row.name}  {row.strategy}, seed {row.seed}, {row.status}{where}")
        if not yes and not _agreed(f"Delete {len(rows)} run{'s' if len(rows) > 1 else ''} for good?"):
            raise ScenarioError("nothing was deleted; --yes deletes without asking")
        with ExitStack() as stack:
            for row in held:  # a run that is being written is refused before anything is deleted
                stack.callback(reopen(row.folder).release)
            forget(opened, [row.run for row in rows])
            for row in held if folders else ():
                shutil.rmtree(row.folder)
    typer.echo(f"deleted: {len(rows)}")


def _agreed(question: str) -> bool:
    try:
        return typer.confirm(question)
    except click.Abort:  # nobody is there to answer
        typer.echo()
        return False


def _is_folder_of(row: RunRow) -> bool:
    """Return whether the folder is there and still holds this run: another may have taken its place."""
    from fedsim.engine.run.folder import NOTE

    try:
        return bool(row.folder) and json.loads((Path(row.folder) / NOTE).read_text())["run"] == row.run
    except (OSError, ValueError, KeyError, TypeError):
        return False
