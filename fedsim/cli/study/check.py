"""fedsim check: try every law that a rule, a process, a codec or local work must obey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedsim.study.checking import Checked


def check(
    thing: Annotated[
        str,
        typer.Argument(
            metavar="THING",
            help="fedstale:beta=0.3, ./rule.py:Fading:fade=0.05, ./process.py:Mine, ./work.py:Local, topk:k=0.1, ...",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Try every law on a rule, a participation process, a codec, local work or a Flower strategy; 1 when one fails."""
    from fedsim.study.checking import check as try_laws

    found = try_laws(thing)
    if as_json:
        typer.echo(found.as_json())
    else:
        _print(found)
    if found.failed:
        raise typer.Exit(1)


def _print(found: Checked) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fedsim.core.system.terminal import visible

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 300  # a pipe has no width to obey: nothing is cut there
    table = Table(title=Text(visible(f"{found.what}: {found.kind}")), title_justify="left", box=None, pad_edge=False)
    for name in ("law", "what it says", "outcome", "what was seen"):
        table.add_column(name, no_wrap=name in ("law", "outcome"))
    for row in found.rows:
        table.add_row(*(Text(visible(part)) for part in (row.law, row.says, row.outcome, row.seen)))
    console.print(table)
    held, failed = sum(row.outcome == "holds" for row in found.rows), len(found.failed)
    rest = len(found.rows) - held - failed
    console.print(f"\n{held} hold, {failed} fail, {rest} do not apply", markup=False)
