"""`fedsim schema`: the JSON Schema of scenario files."""

from __future__ import annotations

from typing import Annotated

import typer

from fedsim.core.system.files import atomic_write


def schema(
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Write it there instead of printing it.")] = None,
) -> None:
    """Print the JSON Schema of scenario files; editors use it to complete and to check while you type.

    The first line of a scenario tells the editor where the schema is: # yaml-language-server: $schema=schema.json
    """
    from fedsim.scenario import schema_text

    if out is None:
        typer.echo(schema_text(), nl=False)
    else:
        atomic_write(out, schema_text().encode())
        typer.echo(f"wrote {out}")
