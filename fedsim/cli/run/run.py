"""fedsim run: one scenario, one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    scenario: Annotated[Path, typer.Argument(help="The scenario file.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the results; default runs/NAME-HASH.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in --out.")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Run a scenario and leave its results in a folder."""
    from fedsim.core import NonFiniteError
    from fedsim.scenario import load, warnings

    loaded = load(scenario, set_ or [])
    for warning in () if quiet else warnings(loaded):
        typer.echo(str(warning), err=True)

    from rich.console import Console

    from fedsim.engine.run.run import execute
    from fedsim.metrics.sinks.console import ConsoleSink

    done = execute(loaded, out=out, overwrite=overwrite, sinks=[] if quiet else [ConsoleSink(Console())])
    if done.status == "diverged":
        raise NonFiniteError(done.summary["reason"])
