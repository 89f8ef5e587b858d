"""fedsim verify: train some rounds of a run again and compare the bits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def verify(
    folder: Annotated[Path, typer.Argument(help="The run's folder; nothing in it changes.")],
    rounds: Annotated[int | None, typer.Option(help="Train at most so many rounds again.", min=1)] = None,
) -> None:
    """Train some rounds of a run again, from a checkpoint or the start, and compare the bits; 1 when they differ."""
    from fedsim.study.verify import verify as train_again

    found = train_again(folder, rounds)
    typer.echo(str(found))
    if found.differences:
        raise typer.Exit(1)
