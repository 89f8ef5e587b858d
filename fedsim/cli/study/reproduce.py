"""fedsim reproduce: the set-up of a paper, with a verdict on every claim."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedsim.analysis.cards.result import CardResult


def reproduce(
    card: Annotated[str | None, typer.Argument(metavar="CARD", help="A card by name, or a file of your own.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the cards that come with fedsim.")] = False,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N|LIST", help="So many from the card's own, or a list 1,4,7; default the card's."),
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The card's quick form, of minutes.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for all results; default runs/cards/NAME.")] = None,
    parallel: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="On how many processes; default all cores.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Repeat runs that are finished in --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdicts only.")] = False,
) -> None:
    """Run a paper's set-up and give a verdict on every claim: holds, fails, or undecided at this power.

    Leaves curves, report.html and card.json in the folder; 0 when every claim got a verdict, whatever it is.
    Interrupted, the same command goes on where it was.
    """
    if listed:
        _list()
        return
    from fedsim.core import ScenarioError

    if card is None:
        raise ScenarioError("say which card; `fedsim reproduce --list` names them")
    from fedsim.analysis.cards.files import FIGURE, PAGE, PICTURE, RESULT
    from fedsim.cli.study.compare import tell_run
    from fedsim.core.system.signals import Stopped
    from fedsim.study.compare import parse_seeds
    from fedsim.study.reproduce import reproduce as run

    try:
        found = run(
            card,
            set_ or [],
            quick=quick,
            seeds=None if seeds is None else parse_seeds(seeds),
            out=out,
            overwrite=overwrite,
            parallel=parallel,
            tell=None if quiet else tell_run,
            say=None if quiet else partial(typer.echo, err=True),
        )
    except Stopped as stop:
        typer.echo(f"{stop}; say the same again to go on: finished runs are not repeated", err=True)
        raise typer.Exit(stop.exit_code) from None
    if not quiet:
        for table in found.tables[1:]:
            typer.echo(f"\n{table.as_text()}")
    _verdicts(found)
    typer.echo(f"\n{found.found.folder}/: {RESULT}, {PAGE}, {PICTURE}, {FIGURE}, and what `fedsim compare` leaves")
    for entry in found.found.failed:
        typer.echo(f"{entry.label}, seed {entry.seed}: {entry.outcome.status}: {entry.outcome.error}", err=True)


def _verdicts(found: CardResult) -> None:
    form = ", quick form" if found.quick else ""
    typer.echo(f"\n{found.name}{form}: {found.card.title}")
    wide = max(len(one.words) for one in found.judged)
    for one, row in zip(found.judged, found.claims.rows, strict=True):
        typer.echo(f"  {one.words:<{wide}}  {one.claim.says}\n  {'':<{wide}}  {row[4]}: {row[2]}, {row[3]} seeds")


def _list() -> None:
    from fedsim.study.reproduce import read_about, shelf

    typer.echo("hours on two cores; `fedsim reproduce CARD --quick` runs the quick form")
    for name, path in shelf().items():
        card, dataset = read_about(path)
        assert card is not None, f"{name}: a card of ours is sound"
        data = f"{dataset}{', which you bring' if card.files else ''}"
        hours = f"full {card.hours.full:g} h, quick {60 * card.hours.quick:.2g} min"
        claims = f"{len(card.claims)} claim{'s' * (len(card.claims) > 1)}, {card.seeds} seeds"
        typer.echo(f"\n{name}  {card.title}\n  {claims}; {hours}; data: {data}")
