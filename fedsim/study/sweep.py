"""A sweep: one file, many runs, over the grid of its `sweep:` values; finished runs are recognised."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedsim.analysis.outcome import RunResult
from fedsim.analysis.paired import Interval, t_interval
from fedsim.core import ScenarioError
from fedsim.core.system.files import atomic_write
from fedsim.core.system.signals import Signals
from fedsim.metrics.csv_text import harmless_texts
from fedsim.scenario import Scenario, expand, from_dict, load, slug
from fedsim.scenario.raw import Overrides
from fedsim.study.batch import Planned, batch_folder, plan_key, reasons, recognised, run_folders
from fedsim.study.workers import RunJob, run_all

if TYPE_CHECKING:
    import pandas as pd

TABLE = "sweep.csv"


@dataclass(frozen=True)
class GridPoint:
    """One run of a sweep: the values it has on the sweep's axes, its scenario, and how it ended (None: not run)."""

    values: Mapping[str, Any]
    scenario: Scenario
    folder: Path
    outcome: RunResult | None = None

    @property
    def words(self) -> str:
        """The values as text: `strategy.beta=0.5, seed=1`."""
        return ", ".join(f"{key}={shown(value)}" for key, value in self.values.items())


@dataclass(frozen=True)
class Sweep:
    """A sweep and its runs, in the order of the grid, the last axis fastest."""

    folder: Path
    points: tuple[GridPoint, ...]

    @property
    def failed(self) -> list[GridPoint]:
        """The runs that did not come to their end."""
        return [point for point in self.points if point.outcome is not None and point.outcome.exit_code]

    @property
    def anew(self) -> tuple[str, ...]:
        """Why runs that had been here before were trained again: what changed in which input file."""
        found = (point.outcome.anew for point in self.points if point.outcome is not None)
        return tuple(dict.fromkeys(reason for reason in found if reason))

    @property
    def exit_code(self) -> int:
        """Return 0 when all runs ended well, else the highest exit code."""
        return max((point.outcome.exit_code for point in self.points if point.outcome is not None), default=0)

    @property
    def table(self) -> pd.DataFrame:
        """One row for each run: its values on the axes, how it ended, and its final metrics."""
        import pandas as pd

        return pd.DataFrame([_row(point) for point in self.points])

    def over_seeds(self) -> list[tuple[dict[str, Any], int, dict[str, Interval]]]:
        """Return for every combination of the other values: how many seeds ended well, and their final metrics."""
        groups: dict[str, list[GridPoint]] = {}
        for point in self.points:
            others = {key: value for key, value in point.values.items() if key != "seed"}
            groups.setdefault(repr(others), []).append(point)
        found = []
        for points in groups.values():
            others = {key: value for key, value in points[0].values.items() if key != "seed"}
            finals = [_final(point) for point in points]
            names = list(dict.fromkeys(name for final in finals for name in final))
            means = {name: t_interval([final.get(name, nan) for final in finals]) for name in names}
            found.append((others, sum(bool(final) for final in finals), means))
        return found


def sweep(
    source: str | os.PathLike[str] | Mapping[str, Any],
    overrides: Overrides = (),
    *,
    out: str | Path | None = None,
    parallel: int | None = None,
    lanes: bool = True,
    overwrite: bool = False,
    signals: Signals | None = None,
    tell: Callable[[GridPoint], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Sweep:
    """Run every combination of a scenario's `sweep:` values; one that fails stops no other.

    Runs advance in step where their clients can train in one stream (not without `lanes`), on all cores of this
    machine or on `parallel` processes; `say` is told how. No way changes a bit.

    Runs that were finished in `out` before are recognised by what they are and not repeated, unless `overwrite`;
    interrupted ones go on where they were.

    Raises
    ------
    ScenarioError : with every problem of every combination, before anything runs.
    Stopped : after a signal, when all runs have been saved and sweep.csv written.
    """
    name, grid = _grid(source, overrides)
    plan = [Planned.of(_words(values), one) for values, one in grid]
    with batch_folder(out, f"sweep-{slug(name)}-{plan_key(plan)}") as folder:
        folders = run_folders(folder, plan)
        points = [
            GridPoint(values, one.scenario, path) for (values, _), one, path in zip(grid, plan, folders, strict=True)
        ]
        if not overwrite:
            points = [
                replace(point, outcome=recognised(point.folder, one)) for point, one in zip(points, plan, strict=True)
            ]
        left = [place for place, point in enumerate(points) if point.outcome is None]
        jobs = [RunJob(points[place].scenario, points[place].folder, plan[place].inputs, overwrite) for place in left]
        why = reasons(folder, plan)

        def done(number: int, outcome: RunResult) -> None:
            place = left[number]
            point = points[place] = replace(points[place], outcome=replace(outcome, anew=why[place]))
            if tell is not None:
                tell(point)

        if tell is not None:
            for point in points:
                if point.outcome is not None:
                    tell(point)
        try:
            run_all(dict(enumerate(jobs)), parallel, lanes=lanes, signals=signals or Signals(), done=done, say=say)
        finally:
            found = Sweep(folder, tuple(points))
            atomic_write(folder / TABLE, harmless_texts(found.table).to_csv(index=False).encode())
    return found


def _grid(
    source: str | os.PathLike[str] | Mapping[str, Any], overrides: Overrides
) -> tuple[str, list[tuple[dict[str, Any], Scenario]]]:
    """Return the sweep's name, and for each run its values on the axes and its scenario.

    The name of a run says its values, but for the seed: so that curves can be told apart, and seeds taken together.
    """
    whole = from_dict(source, overrides) if isinstance(source, Mapping) else load(source, overrides)
    if whole.sweep is None:
        raise ScenarioError("the scenario has no `sweep:`; write for instance sweep: {seed: [1, 2, 3]}")
    values = [dict(zip(whole.sweep, one, strict=True)) for one in product(*whole.sweep.values())]
    grid = []
    for one, scenario in zip(values, expand(source, overrides), strict=True):
        others = {key: value for key, value in one.items() if key not in ("seed", "name")}
        name = f"{scenario.name}: {_words(others)}"[:200] if others else scenario.name
        grid.append((one, replace(scenario, name=name)))
    return whole.name, grid


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={shown(value)}" for key, value in values.items())


def shown(value: Any) -> str:
    """Return a value of an axis as short text."""
    if isinstance(value, Mapping):
        return " ".join(shown(inner) for inner in value.values())
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _final(point: GridPoint) -> dict[str, float]:
    good = point.outcome is not None and not point.outcome.exit_code
    final = point.outcome.final.items() if point.outcome is not None and good else ()
    return {name: float(value) for name, value in final if name != "round"}


def _row(point: GridPoint) -> dict[str, Any]:
    outcome = point.outcome
    summary: Mapping[str, Any] = outcome.summary if outcome is not None else {}
    row: dict[str, Any] = {
        key: value if isinstance(value, int | float | str) else str(value) for key, value in point.values.items()
    }
    row |= {
        "status": outcome.status if outcome is not None else "not run",
        "exit_code": outcome.exit_code if outcome is not None else None,
        "rounds": summary.get("rounds"),
    }
    row |= _final(point)
    row |= {name: summary.get(name) for name in ("run", "scenario_hash", "schedule_hash", "params_sha256")}
    return row | {"folder": point.folder.name, "error": outcome.error if outcome is not None else ""}
