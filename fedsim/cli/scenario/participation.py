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
    scenario: Annotated[str, typer.Argument(help="The scenario file, or the word fit.")],
    trace: Annotated[str | None, typer.Argument(help="After fit: a CSV trace, or a schedule file.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="How many rounds; the scenario's by default.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for pictures; default runs/NAME-participation. After fit: a PNG.")
    ] = None,
    set: Annotated[list[str] | None, typer.Option(help="Change a value: a.b=c; may be repeated.")] = None,
    kind: Annotated[str | None, typer.Option(help="What fit fits: markov, cyclic or sine.")] = None,
    round_s: Annotated[float | None, typer.Option(help="Seconds of a round of fit's CSV trace.")] = None,
) -> None:
    """Show who comes when: a table, pictures, and the same numbers as participation.json. Trains nothing.

    `fedsim participation fit TRACE --kind markov` fits a process to a trace and prints its block.
    """
    import json

    from fedsim.core import ScenarioError, World
    from fedsim.core.system.files import atomic_write
    from fedsim.core.system.terminal import visible
    from fedsim.participation.devices import environment
    from fedsim.participation.schedules.pictures import write_pictures
    from fedsim.participation.schedules.report import facts
    from fedsim.participation.schedules.statistics import summarise
    from fedsim.scenario import load, slug

    if scenario == "fit":
        _fit(trace, kind, round_s, rounds, out, set)
        return
    wrong = {"TRACE": trace, "--kind": kind, "--round-s": round_s}
    for name, value in wrong.items():
        if value is not None:
            raise ScenarioError(f"{name}: is for fit: fedsim participation fit TRACE --kind markov")
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
    if hasattr(process, "frequencies_of") and found.probabilities is not None:
        known["frequencies"] = found.probabilities.tolist()
    kind = _told(loaded.participation)
    _print(known, found, f"{loaded.name}: {kind}, {found.num_clients:,} clients, {found.rounds:,} rounds")
    folder = Path("runs") / f"{slug(loaded.name)}-participation" if out is None else out
    title = f"{visible(loaded.name)}  \N{MIDDLE DOT}  {kind}"
    paths = write_pictures(folder, title, found, labels, rates)
    atomic_write(folder / "participation.json", json.dumps(known, indent=2).encode())
    typer.echo(f"\npictures in {folder}: {', '.join(path.name for path in paths)}; numbers in participation.json")


def _told(config: Any) -> str:
    """Return the kind of a process, and what modifies it."""
    changed = getattr(config.modulate, "kind", None)
    taken = getattr(config.select, "size", None)
    words = [config.kind, f"modulated by {changed}" if changed else "", f"{taken:,} selected" if taken else ""]
    return ", ".join(filter(None, words))


def _fit(
    trace: str | None,
    kind: str | None,
    round_s: float | None,
    rounds: int | None,
    out: Path | None,
    set: list[str] | None,
) -> None:
    """Fit a process to a trace, print its block and its errors, and draw it beside the trace."""
    from fedsim.core import ScenarioError
    from fedsim.core.system.terminal import visible
    from fedsim.participation.fit import KINDS, draw, fitted, recorded

    if trace is None:
        raise ScenarioError("fit: give a trace: fedsim participation fit TRACE --kind markov")
    if kind is None:
        raise ScenarioError(f"--kind: say what to fit: {', '.join(KINDS)}")
    if set:
        raise ScenarioError("--set: is for scenarios, and a trace has no keys")
    if round_s is not None and not 0 < round_s < float("inf"):
        raise ScenarioError(f"--round-s: must be positive, got {round_s:g}")
    if out is not None and (out.suffix.lower() != ".png" or out.is_dir()):
        raise ScenarioError(f"--out: the picture is a PNG; give a name that ends in .png, got {out}")
    there, how = recorded(Path(trace), round_s)
    there = there[:rounds]
    found = fitted(kind, there)
    typer.echo(f"# {visible(trace)}: {how}, {there.shape[1]:,} clients, {100 * there.mean():.3g} % present")
    for name, error in found.errors.items():
        typer.echo(f"# {name}: {'' if name.startswith('share') else '+- '}{error:.3g}")
    typer.echo(f"participation: {found.yaml}")
    if out is not None:
        draw(out, visible(f"{Path(trace).name} and {found.yaml}"), there, found)
        typer.echo(f"# picture: {out}")


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
