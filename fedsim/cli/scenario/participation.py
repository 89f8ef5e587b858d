"""fedsim participation: look at who will come before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedsim.core.contracts import Ids
    from fedsim.participation.schedules.statistics import ScheduleSummary

LABELLED = 20_000
"""Clients whose labels are looked at; of a larger population an evenly spaced sample."""


def participation(
    scenario: Annotated[str, typer.Argument(help="The scenario file.")],
    rounds: Annotated[int | None, typer.Option(min=1, help="How many rounds; the scenario's by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for pictures; default runs/NAME-participation.")] = None,
    set: Annotated[list[str] | None, typer.Option(help="Change a value: a.b=c; may be repeated.")] = None,
) -> None:
    """Show who comes when: a table, pictures, and the same numbers as participation.json. Trains nothing."""
    import json

    from fedsim.core import ScenarioError, World
    from fedsim.core.system.files import atomic_write
    from fedsim.core.system.terminal import visible
    from fedsim.participation.devices import environment
    from fedsim.participation.schedules.pictures import write_pictures
    from fedsim.participation.schedules.report import facts
    from fedsim.participation.schedules.statistics import summarise
    from fedsim.scenario import load, slug

    if out is not None and out.exists() and not out.is_dir():
        raise ScenarioError(f"--out {out}: is a file, not a folder")
    loaded = load(scenario, set or [])
    data = loaded.data.load(loaded.seed, loaded.folder)
    world = World(loaded.seed, data.num_clients, data.label_counts, loaded.folder)
    process, _ = environment(loaded.participation, loaded.devices, world)
    found = summarise(process, rounds or loaded.rounds)
    sample = _sample(data.num_clients)
    labels = data.label_counts(sample)
    rates = (found.rates if found.probabilities is None else found.probabilities)[sample]
    known = facts(found, labels, rates)
    kind = loaded.participation.kind
    _print(known, found, f"{loaded.name}: {kind}, {found.num_clients:,} clients, {found.rounds:,} rounds")
    folder = Path("runs") / f"{slug(loaded.name)}-participation" if out is None else out
    title = f"{visible(loaded.name)}  \N{MIDDLE DOT}  {kind}"
    paths = write_pictures(folder, title, found, labels, rates)
    atomic_write(folder / "participation.json", json.dumps(known, indent=2).encode())
    typer.echo(f"\npictures in {folder}: {', '.join(path.name for path in paths)}; numbers in participation.json")


def _sample(num_clients: int) -> Ids:
    import numpy as np

    return np.unique(np.linspace(0, num_clients - 1, min(num_clients, LABELLED)).astype(np.int64))


def _print(known: dict[str, Any], found: ScheduleSummary, title: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fedsim.core.system.terminal import visible
    from fedsim.participation.schedules.report import gap_bins, rows

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # a pipe has no width to obey: nothing is cut there
    table = Table(title=Text(visible(title)), title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("quantity", no_wrap=True)
    table.add_column("expected", justify="right", no_wrap=True)
    table.add_column("realised", justify="right", no_wrap=True)
    for row in rows(known):
        table.add_row(*row)
    console.print(table, markup=False)
    bins = gap_bins(found)
    if bins:
        longest = max(share for _, share in bins)
        console.print("\ngaps between participations", style="bold")
        for name, share in bins:
            console.print(f"{name:>13}  {100 * share:5.1f} %  {'█' * round(30 * share / longest)}", markup=False)
