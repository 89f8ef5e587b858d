"""`fedsim schema`: the JSON Schema of scenario files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedsim.core.system.files import atomic_write


def schema(
    with_: Annotated[
        Path | None, typer.Option("--with", metavar="SCENARIO", help="Know the options of this scenario's references.")
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Write it there instead of printing it.")] = None,
) -> None:
    """Print the JSON Schema of scenario files; editors use it to complete and to check while you type.

    The first line of a scenario tells the editor where the schema is: # yaml-language-server: $schema=schema.json
    """
    from fedsim.scenario import load, schema_text
    from fedsim.scenario.foreign import classes

    text = schema_text([] if with_ is None else classes(load(with_)))
    if out is None:
        typer.echo(text, nl=False)
    else:
        atomic_write(out, text.encode())
        typer.echo(f"wrote {out}")
