"""fedsim plan: what a run would take, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedsim.scenario import Sourced
    from fedsim.study.plan import RunEstimate, Speed


def plan(
    scenario: Annotated[Path, typer.Argument(help="The scenario file.")],
    probe_rounds: Annotated[
        int, typer.Option(min=0, help="Rounds that are run for an estimate of the time; 0 runs nothing.")
    ] = 5,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
) -> None:
    """Show every value with its source, the cohorts to expect, memory, and time; exit code 4 if it cannot fit."""
    from fedsim.scenario import load

    loaded = load(scenario, set_ or [])

    from fedsim.study.plan import plan as planned

    found = planned(loaded, probe_rounds=probe_rounds)
    for line in (*_values(found), "", *_cohorts(found), "", *_needs(found), "", *_time(found)):
        typer.echo(line)
    found.check()


def _values(found: RunEstimate) -> list[str]:
    rows = [(key, _shown(one.value), _source(one)) for key, one in found.values.items()]
    wide, high = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    return ["values", *(f"  {key:<{wide}}  {value:<{high}}  {source}" for key, value, source in rows)]


def _shown(value: Any) -> str:
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _source(one: Sourced) -> str:
    if one.place is not None and one.source in ("file", "base"):
        return f"{one.place.file}:{one.place.line}"
    return one.source


def _cohorts(found: RunEstimate) -> list[str]:
    cohorts = found.cohorts
    looked = f"{cohorts.smallest:,} to {cohorts.largest:,} in the first {cohorts.rounds:,} rounds"
    how = "" if cohorts.exact else f", as in the first {cohorts.rounds:,} rounds"
    empty = f"P(empty) {cohorts.empty:.3g}{how}; about {cohorts.empty * found.scenario.rounds:,.3g} empty rounds"
    return [
        f"cohort  {cohorts.expected:,.4g} of {found.num_clients:,} clients expected, {looked}",
        f"        {empty} of {found.scenario.rounds:,}",
    ]


def _needs(found: RunEstimate) -> list[str]:
    from fedsim.engine.run.capacity import megabytes

    rows = [(need.name, megabytes(need.count), need.place, need.note) for need in found.needs]
    wide = max(len(row[0]) for row in rows)
    lines = [f"memory  ({found.num_parameters:,} parameters; besides what this process holds already)"]
    lines += [f"  {name:<{wide}}  {size:>10}  {place:<12}  {note}" for name, size, place, note in rows]
    for place, free in found.free.items():
        lines.append(f"  {'all of ' + place:<{wide}}  {megabytes(found.needed(place)):>10}  of {megabytes(free)} free")
    return lines


def _time(found: RunEstimate) -> list[str]:
    speed = found.speed
    if speed is None or found.total_s is None:
        return ["time    not estimated: no rounds were run"]
    rounds = f"{found.scenario.rounds:,} rounds, {found.evaluations:,} evaluations"
    return [
        f"time    {_seconds(speed.round_s)} a round {_range(speed)}",
        f"        {_seconds(found.total_s)} in all: {rounds}",
    ]


def _range(speed: Speed) -> str:
    return (
        f"(median of {speed.rounds} here; {_seconds(speed.fastest_s)} to {_seconds(speed.slowest_s)}), "
        f"{_seconds(speed.startup_s)} to start, {_seconds(speed.evaluate_s)} an evaluation"
    )


def _seconds(value: float) -> str:
    if value < 1:
        return f"{1e3 * value:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if value < 7200 else f"{value / 3600:.3g} h"
