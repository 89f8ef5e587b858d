"""fedsim profile: where the time of a round goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedsim.study.profile import Profile

PICTURE = "profile.png"


def profile(
    scenario: Annotated[Path, typer.Argument(help="The scenario file.")],
    rounds: Annotated[int, typer.Option(min=2, help="How many rounds are run; the first one only warms up.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Folder for a picture of the median round, and the run.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
) -> None:
    """Run a few rounds and show what the driver and every host spent them on."""
    import tempfile
    from dataclasses import replace

    from fedsim.scenario import load

    loaded = load(scenario, [*(set_ or []), f"rounds={rounds}"])

    from fedsim.core.system.terminal import visible
    from fedsim.study.flame import draw
    from fedsim.study.profile import profile as measure

    if out is not None:
        found = measure(loaded, out)
        draw(replace(found, name=visible(found.name)), out / PICTURE)
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(loaded, Path(folder) / "run")
    _print(found)
    if out is not None:
        typer.echo(f"\npicture of the median round: {out / PICTURE}")


def _print(found: Profile) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fedsim.core.system.terminal import visible
    from fedsim.study.profile import MEANING, PHASES

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # a pipe has no width to obey: nothing is cut there
    title = f"{found.name}: {1e3 * found.wall_s:.2f} ms a round (median of {len(found.rounds)}); mean ms by phase"
    table = Table(title=Text(visible(title)), title_justify="left", title_style="bold", box=None, pad_edge=False)
    shown = [phase for phase in PHASES if any(found.mean(actor, phase) > 0 for actor in found.actors)]
    table.add_column("", no_wrap=True)
    for phase in (*shown, "sum"):
        table.add_column(phase, justify="right", no_wrap=True)
    for actor in found.actors:
        spent = [found.mean(actor, phase) for phase in shown]
        table.add_row(actor, *(f"{1e3 * one:.3f}" if one else "-" for one in spent), f"{1e3 * sum(spent):.3f}")
    console.print(table, markup=False)
    console.print(f"\ntraining: {found.training}", markup=False)
    for phase in shown:
        console.print(f"{phase:>10}  {MEANING[phase]}", markup=False)
    if "evaluate" not in shown and "driver" in found.actors:
        console.print(f"{'evaluate':>10}  went on beside the rounds, in a thread: in none of these", markup=False)
