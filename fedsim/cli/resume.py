"""fedsim resume: continue a run after any stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def resume(
    folder: Annotated[Path, typer.Argument(help="The run's folder.")],
    rounds: Annotated[int | None, typer.Option(help="Add rounds: the total after which the run ends.", min=1)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Continue a run; it ends with the same bits and rows as if it had never stopped."""
    from rich.console import Console

    from fedsim.engine.run import resume as continue_run
    from fedsim.metrics.sinks.console import ConsoleSink

    continue_run(folder, rounds=rounds, sinks=[] if quiet else [ConsoleSink(Console())])
