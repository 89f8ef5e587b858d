"""fedsim resume: continue a run after any stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def resume(
    folder: Annotated[Path, typer.Argument(help="The run's folder.")],
    rounds: Annotated[int | None, typer.Option(help="Add rounds: the total after which the run ends.", min=1)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse where software or machine are others now.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Continue a run; it ends with the same bits and rows as if it had never stopped."""
    from rich.console import Console

    from fedsim.core import NonFiniteError
    from fedsim.engine.run.run import resume as continue_run
    from fedsim.metrics.sinks.console import ConsoleSink
    from fedsim.metrics.summary import read_summary

    before = read_summary(folder)
    done = continue_run(folder, rounds=rounds, strict=strict, sinks=[] if quiet else [ConsoleSink(Console())])
    if not quiet and done.summary == before:
        typer.echo(f"{folder}: {done.status} after {done.summary['rounds']} rounds; nothing is left to do")
    if done.status == "diverged":
        raise NonFiniteError(done.summary["reason"])
