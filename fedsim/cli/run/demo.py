"""fedsim demo: the quickstart scenario, from wherever fedsim is installed."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

SCENARIO = "quickstart.yaml"
"""Beside this file: the scenario of the same name under `scenarios/`."""


def demo(
    out: Annotated[Path | None, typer.Option(help="Folder for the results; default runs/quickstart-HASH.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the last line only.")] = False,
) -> None:
    """Run the quickstart scenario in one process: 100 clients with few labels each, who come when they can.

    It needs no file and no network, and has the bits that `scenarios/quickstart.yaml` has on any engine.
    """
    from fedsim.core import NonFiniteError
    from fedsim.scenario import load

    with as_file(files("fedsim.cli.run") / SCENARIO) as path:
        loaded = load(path, ["engine.kind=serial"])

    from rich.console import Console

    from fedsim.engine.run.run import execute
    from fedsim.metrics.sinks.console import ConsoleSink

    done = execute(loaded, out=out, overwrite=overwrite, sinks=[] if quiet else [ConsoleSink(Console())])
    if done.status == "diverged":
        raise NonFiniteError(done.summary["reason"])
    accuracy = done.summary["final"]["test_accuracy"]
    typer.echo(
        f"demo: test accuracy {accuracy:.4f} after {done.summary['rounds']} rounds; `fedsim new mine` writes a scenario"
        " of your own"
    )
