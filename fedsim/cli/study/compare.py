"""fedsim compare: several strategies on the same absences, paired over seeds."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedsim.analysis.comparison import ComparedRun


def compare(
    scenario: Annotated[Path, typer.Argument(help="The scenario file.")],
    strategies: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="fedavg,fedstale:beta=0.3,... (other options at their defaults); default the file's `compare:` list.",
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:KEY=VALUE,...", help="One more line: the scenario with some keys changed."),
    ] = None,
    seeds: Annotated[
        str, typer.Option(metavar="N|LIST", help="So many from the scenario's own, or a list 1,4,7.")
    ] = "5",
    out: Annotated[Path | None, typer.Option(help="Folder for all results; default runs/compare-NAME-HASH.")] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the others are compared with; default the first.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="METRIC=VALUE", help="For rounds to target, e.g. test_accuracy=0.9.")
    ] = None,
    last: Annotated[
        int, typer.Option(min=1, metavar="K", help="Average final values over the last K evaluations.")
    ] = 1,
    parallel: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="On how many processes; default all cores.")
    ] = None,
    lanes: Annotated[
        bool, typer.Option(" /--no-lanes", help="One run at a time in each process, not many in one stream.")
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Repeat runs that are finished in --out.")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the tables only.")] = False,
) -> None:
    """Compare strategies on the same data and absences: tables with paired differences, a picture and a page.

    Interrupted, the same command goes on where it was: finished runs are not repeated.
    """
    from fedsim.study.strategies import read_with_strategies, with_variants

    lines = with_variants(scenario, strategies, variant or [], set_ or [])
    loaded = read_with_strategies(scenario, lines, set_ or [])

    from fedsim.analysis.comparison_files import FIGURE, PAGE, PICTURE, RESULT, TABLE
    from fedsim.analysis.comparison_tables import tables
    from fedsim.analysis.paper_table import CSV, MARKDOWN, TEX
    from fedsim.core.system.signals import Stopped
    from fedsim.study.compare import compare as run_all
    from fedsim.study.compare import parse_seeds, parse_target

    try:
        found = run_all(
            loaded,
            seeds=parse_seeds(seeds),
            out=out,
            baseline=baseline,
            target=None if target is None else parse_target(target),
            last=last,
            overwrite=overwrite,
            parallel=parallel,
            lanes=lanes,
            tell=None if quiet else tell_run,
            say=None if quiet else partial(typer.echo, err=True),
        )
    except Stopped as stop:
        typer.echo(f"{stop}; say the same again to go on: finished runs are not repeated", err=True)
        raise typer.Exit(stop.exit_code) from None
    for table in tables(found):
        typer.echo(f"\n{table.as_text()}")
    names = ", ".join((TABLE, RESULT, PICTURE, PAGE))
    papers = ", ".join((FIGURE, TEX, MARKDOWN, CSV))
    typer.echo(f"\n{found.folder}/: {names}; for a paper {papers}; and a folder for each run")
    for reason in found.anew:
        typer.echo(f"trained anew, not taken from before: {reason}", err=True)
    for entry in found.failed:
        typer.echo(f"{entry.label}, seed {entry.seed}: {entry.outcome.status}: {entry.outcome.error}", err=True)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def tell_run(entry: ComparedRun) -> None:
    """Print how a run ended, in one line."""
    values = entry.outcome.headlines.items()
    final = "  ".join(f"{name.replace('test_', '')} {value:.4g}" for name, value in values)
    again = " (finished before)" if entry.outcome.recognised else ""
    typer.echo(f"seed {entry.seed}  {entry.label}  {entry.outcome.status}{again}  {final}".rstrip())
