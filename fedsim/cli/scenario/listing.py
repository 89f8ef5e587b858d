"""`fedsim list`: what a scenario can name, one line each, from the docstrings."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import wrap
from typing import Annotated

import typer

from fedsim.core import ScenarioError
from fedsim.core.foreign.reference import entry_points


def _catalogues() -> dict[str, tuple[str, Callable[[], Mapping[str, type]]]]:
    """Return the catalogues by their words, each with where in a scenario its names stand."""
    from fedsim import data, models, optimizers, participation, strategies
    from fedsim.core import server, uplink
    from fedsim.data import partitions
    from fedsim.strategies import corrections
    from fedsim.task import losses, metrics

    return {
        "strategies": ("strategy: {name: ...}", strategies.catalogue),
        "corrections": ("strategy: {correction: {name: ...}}", corrections.catalogue),
        "datasets": ("data: {dataset: ...}", data.catalogue),
        "partitions": ("data: {partition: {kind: ...}}", partitions.catalogue),
        "models": ("model: {name: ...}", models.catalogue),
        "losses": ("task: {loss: ...}", losses.catalogue),
        "metrics": ("task: {metrics: [...]}", metrics.catalogue),
        "optimizers": ("client: {optimizer: ...}", optimizers.catalogue),
        "server-optimizers": ("strategy: {server_optimizer: {kind: ...}}", server.catalogue),
        "codecs": ("uplink: {codec: ...}", uplink.catalogue),
        "processes": ("participation: {kind: ...}", participation.catalogue),
        "laws": ("probabilities: {law: ...}", participation.laws),
    }


def listing(
    what: Annotated[
        str | None,
        typer.Argument(
            help="strategies, datasets, models, losses and so on, as the list is headed; all when left out."
        ),
    ] = None,
    with_: Annotated[
        Path | None, typer.Option("--with", metavar="SCENARIO", help="List this scenario's references too.")
    ] = None,
) -> None:
    """List what a scenario can name, one line each; what installed packages have registered is there too."""
    from fedsim.scenario.messages import did_you_mean

    known = _catalogues()
    if what is not None and what not in known:
        raise ScenarioError(f"{what!r} is none of {', '.join(known)}{did_you_mean(what, known)}")
    from fedsim.scenario import load
    from fedsim.scenario.foreign import classes

    own = [] if with_ is None else classes(load(with_))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for number, word in enumerate([what] if what else known):
        place, catalogue = known[word]
        typer.echo(("\n" if number else "") + f"{word}  ({place})")
        group = f"fedsim.{word}"
        found = {str(vars(cls)["thing"].text): cls for cls in own if vars(cls)["door"].group == group}
        places = {text: f" ({vars(cls)['thing'].place})" for text, cls in found.items()}
        registered = {name: _from(point) for name, point in entry_points(group).items()}
        lines = _table({**catalogue(), **found}, width, places)
        lines += [f"  {name}  {whose}" for name, whose in registered.items()]
        for line in lines:
            typer.echo(line)


def _from(point: EntryPoint) -> str:
    """Say which package registered a word, and for what; its code is not imported."""
    return f"{point.value}" + (f" (package {point.dist.name} {point.dist.version})" if point.dist is not None else "")


def _table(members: Mapping[str, type], width: int | None, places: Mapping[str, str]) -> list[str]:
    """Return one aligned line for each member; on a terminal long lines are wrapped below their own column."""
    from fedsim.scenario.types import first_line

    column = max(map(len, members), default=0) + 4
    lines = []
    for name, cls in members.items():
        text = first_line(cls) + places.get(name, "")
        parts = wrap(text, max(width - column, 20), break_on_hyphens=False) if width else [text]
        lines.append(f"  {name:<{column - 2}}{parts[0] if parts else ''}".rstrip())
        lines.extend(" " * column + part for part in parts[1:])
    return lines
