"""`fedsim list`: what a scenario can name, one line each, from the docstrings."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from textwrap import wrap
from typing import Annotated

import typer

from fedsim.core import ScenarioError


def _catalogues() -> dict[str, tuple[str, Callable[[], Mapping[str, type]]]]:
    """Return the catalogues by their words, each with where in a scenario its names stand."""
    from fedsim import data, models, participation, strategies
    from fedsim.data import partitions

    return {
        "strategies": ("strategy: {name: ...}", strategies.catalogue),
        "datasets": ("data: {dataset: ...}", data.catalogue),
        "partitions": ("data: {partition: {kind: ...}}", partitions.catalogue),
        "models": ("model: {name: ...}", models.catalogue),
        "processes": ("participation: {kind: ...}", participation.catalogue),
        "laws": ("probabilities: {law: ...}", participation.laws),
    }


def listing(
    what: Annotated[
        str | None,
        typer.Argument(help="strategies, datasets, partitions, models, processes or laws; all when left out."),
    ] = None,
) -> None:
    """List what a scenario can name, one line each."""
    from fedsim.scenario.messages import did_you_mean

    known = _catalogues()
    if what is not None and what not in known:
        raise ScenarioError(f"{what!r} is none of {', '.join(known)}{did_you_mean(what, known)}")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for number, word in enumerate([what] if what else known):
        place, catalogue = known[word]
        typer.echo(("\n" if number else "") + f"{word}  ({place})")
        for line in _table(catalogue(), width):
            typer.echo(line)


def _table(members: Mapping[str, type], width: int | None) -> list[str]:
    """Return one aligned line for each member; on a terminal long lines are wrapped below their own column."""
    from fedsim.scenario.types import first_line

    column = max(map(len, members), default=0) + 4
    lines = []
    for name, cls in members.items():
        text = first_line(cls)
        parts = wrap(text, max(width - column, 20), break_on_hyphens=False) if width else [text]
        lines.append(f"  {name:<{column - 2}}{parts[0] if parts else ''}".rstrip())
        lines.extend(" " * column + part for part in parts[1:])
    return lines
