"""fedsim export: metrics of runs as a tidy table in one file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Literal

import typer


def export(
    runs: Annotated[list[str], typer.Argument(help="Run ids, unique beginnings of them, names, or run folders.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    format: Annotated[str | None, typer.Option(help="csv or parquet; default by the ending of --out.")] = None,
    store: Annotated[
        str | None, typer.Option(help="The store; default beside the first run folder, else runs/fedsim.db.")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Only this metric; may be repeated.")] = None,
) -> None:
    """Write the metrics of runs to one file: columns run, name, strategy, seed, round, metric, value."""
    from fedsim.analysis.frames import load, open_for_reading
    from fedsim.metrics.csv_text import harmless_texts

    kind = _kind(format, out)
    folder = next((word for word in runs if Path(word).is_dir()), None)
    with open_for_reading(store or folder or "runs/fedsim.db") as opened:
        frame = load(opened, runs=runs, metrics=metric or None)
    content = io.BytesIO()
    if kind == "csv":
        harmless_texts(frame).to_csv(content, index=False)
    else:
        frame.to_parquet(content, index=False)
    from fedsim.core.system.files import atomic_write

    atomic_write(out, content.getvalue())
    typer.echo(f"{len(frame)} values of {frame['run'].nunique()} runs in {out}")


def _kind(format: str | None, out: Path) -> Literal["csv", "parquet"]:
    from fedsim.core.errors import ScenarioError

    word = format or out.suffix.lstrip(".")
    if word == "csv":
        return "csv"
    if word == "parquet":
        return "parquet"
    raise ScenarioError(f"--format: {word or 'nothing'} was given; allowed are csv and parquet")
