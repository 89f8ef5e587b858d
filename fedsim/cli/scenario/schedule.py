"""fedsim schedule: write down who comes when."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def schedule(
    scenario: Annotated[str, typer.Argument(help="The scenario file.")],
    out: Annotated[Path, typer.Option(help="The schedule file to write (.npz).")],
    rounds: Annotated[int | None, typer.Option(min=1, help="How many rounds; the scenario's by default.")] = None,
    set: Annotated[list[str] | None, typer.Option(help="Change a value: a.b=c; may be repeated.")] = None,
) -> None:
    """Write a scenario's participation as a file of rounds x clients that can be hashed, shared and replayed.

    Replay it with `participation: {kind: schedule, file: schedule.npz}`.
    """
    from fedsim.core import World
    from fedsim.participation.devices import environment
    from fedsim.participation.schedules.file import write_schedule
    from fedsim.scenario import load

    loaded = load(scenario, set or [])
    data = loaded.data.load(loaded.seed, loaded.folder)
    world = World(loaded.seed, data.num_clients, data.label_counts, loaded.folder)
    process, _ = environment(loaded.participation, loaded.devices, world)
    count = rounds or loaded.rounds
    found = write_schedule(out, process, count)
    typer.echo(f"{out}: {count:,} rounds x {process.num_clients:,} clients, hash {found}")
