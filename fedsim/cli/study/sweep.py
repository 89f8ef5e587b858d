"""fedsim sweep: one file, many runs."""

from __future__ import annotations

from functools import partial
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedsim.analysis.tables import Table
    from fedsim.study.sweep import GridPoint, Sweep


def sweep(
    scenario: Annotated[Path, typer.Argument(help="The scenario file, with a `sweep:` block.")],
    parallel: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="On how many processes; default all cores.")
    ] = None,
    lanes: Annotated[
        bool, typer.Option(" /--no-lanes", help="One run at a time in each process, not many in one stream.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="Folder for all results; default runs/sweep-NAME-HASH.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Repeat runs that are finished in --out.")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the table only.")] = False,
) -> None:
    """Run every combination of the values under `sweep:`, and list what each came to in sweep.csv.

    Interrupted, the same command goes on where it was. A run that fails stops no other; the exit code is the worst.
    """
    from fedsim.core.system.signals import Stopped
    from fedsim.study.sweep import TABLE
    from fedsim.study.sweep import sweep as run_all

    try:
        found = run_all(
            scenario,
            set_ or [],
            out=out,
            parallel=parallel,
            lanes=lanes,
            overwrite=overwrite,
            tell=None if quiet else _tell,
            say=None if quiet else partial(typer.echo, err=True),
        )
    except Stopped as stop:
        typer.echo(f"{stop}; say the same again to go on: finished runs are not repeated", err=True)
        raise typer.Exit(stop.exit_code) from None
    typer.echo(f"\n{_table(found).as_text()}\n\n{found.folder}/: {TABLE}, and a folder for each run")
    for reason in found.anew:
        typer.echo(f"trained anew, not taken from before: {reason}", err=True)
    for point in found.failed:
        assert point.outcome is not None, "a run that failed has an outcome"
        typer.echo(f"{point.words}: {point.outcome.status}: {point.outcome.error}", err=True)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _tell(point: GridPoint) -> None:
    assert point.outcome is not None, "told of a run that has ended"
    again = " (finished before)" if point.outcome.recognised else ""
    values = point.outcome.headlines.items()
    final = "  ".join(f"{name.replace('test_', '')} {value:.4g}" for name, value in values)
    typer.echo(f"{point.words}  {point.outcome.status}{again}  {final}".rstrip())


def _table(found: Sweep) -> Table:
    """Return a row for each run; for each combination of the other values, where seeds are one axis of several runs."""
    from fedsim.analysis.tables import Table, number, with_interval
    from fedsim.metrics.registry import HEADLINES
    from fedsim.study.sweep import shown

    axes = list(found.points[0].values)
    seeds = len({point.values["seed"] for point in found.points if "seed" in point.values})
    if seeds > 1:
        groups = found.over_seeds()
        others = [axis for axis in axes if axis != "seed"]
        names = [name for name in HEADLINES if any(name in means for _, _, means in groups)]
        rows = [
            (
                *(shown(values[axis]) for axis in others),
                f"{good}/{seeds}",
                *(with_interval(means[n]) if n in means else "–" for n in names),
            )
            for values, good, means in groups
        ]
        return Table(f"mean ± 95 % over {seeds} seeds", (*others, "runs", *map(_plain, names)), tuple(rows))
    finals = [point.outcome.headlines if point.outcome is not None else {} for point in found.points]
    names = [name for name in HEADLINES if any(name in final for final in finals)]
    rows = [
        (
            *(shown(point.values[axis]) for axis in axes),
            point.outcome.status if point.outcome is not None else "not run",
            *(number(final.get(name, nan), ".4g") for name in names),
        )
        for point, final in zip(found.points, finals, strict=True)
    ]
    return Table("runs", (*axes, "status", *map(_plain, names)), tuple(rows))


def _plain(name: str) -> str:
    return name.replace("_", " ")
