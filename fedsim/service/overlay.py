"""Runs laid over each other: thinned curves, bands over seeds, and paired differences of their last values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fedsim.analysis.bands import Band, aligned, band
from fedsim.analysis.grouping import About, RunGroup, groups
from fedsim.analysis.paired import LEVEL, Interval, holm, paired_difference, t_interval
from fedsim.metrics.registry import bounds
from fedsim.service.thinning import kept
from fedsim.store.database import Store
from fedsim.store.queries import Pair, Series, finite, series

Axis = Literal["round", "virtual", "bytes", "up", "wall"]
AXES: dict[str, tuple[str, ...]] = {
    "round": (),
    "virtual": ("virtual_s",),
    "bytes": ("bytes_down", "bytes_up", "bytes_exchanged"),
    "up": ("bytes_up",),
    "wall": ("round_s",),
}
"""What each axis is made of: simulated seconds; bytes so far; bytes sent up so far; seconds of training so far."""

Vector = npt.NDArray[np.float64]


def overlaid(store: Store, runs: Sequence[About], metric: str, axis: Axis, points: int) -> dict[str, Any]:
    """Return the curves of one metric for many runs, and how they compare.

    Every curve has at most `points` points, the last one among them. `x` of a band is the mean over its seeds of x at
    the same round. The table compares the last value of each run with the first group's, paired by seed.
    """
    asked = [metric, *AXES[axis]]
    parts = series(store, {(about.run, name): -1 for about in runs for name in asked})
    grouped = groups(runs)
    curves = [
        _curve(about, group, parts, metric, axis, points)
        for group in grouped
        for about in group.runs
        if (about.run, metric) in parts
    ]
    bands = [_banded(group, parts, metric, axis, points) for group in grouped]
    return {
        "metric": metric,
        "x": axis,
        "level": LEVEL,
        "runs": curves,
        "groups": bands,
        "table": _table(grouped, parts, metric),
    }


def _curve(
    about: About, group: RunGroup, parts: Mapping[Pair, Series], metric: str, axis: Axis, points: int
) -> dict[str, Any]:
    rounds, measured = parts[about.run, metric]
    places = kept(measured, points)
    x = _x(parts, about.run, axis, rounds[places])
    curve = {"round": rounds[places].tolist(), "x": numbers(x), "y": numbers(measured[places])}
    return {"id": about.run, "name": about.name, "seed": about.seed, "group": group.label, **curve}


def _banded(group: RunGroup, parts: Mapping[Pair, Series], metric: str, axis: Axis, points: int) -> dict[str, Any]:
    there = [run for run in group.by_seed.values() if (run, metric) in parts]
    found: Band = band([parts[run, metric] for run in there]).within(*bounds(metric))
    places = kept(found.mean, points)
    rounds = found.rounds[places].astype(np.int64)
    everyone = [(parts[run, metric][0], _x(parts, run, axis, parts[run, metric][0])) for run in there]
    x = _mean_x(everyone, rounds) if axis != "round" else rounds.astype(np.float64)
    return {
        "label": group.label,
        "seeds": sorted(group.by_seed),
        "runs": [about.run for about in group.runs],
        "round": rounds.tolist(),
        "x": numbers(x),
        "mean": numbers(found.mean[places]),
        "low": numbers(found.low[places]),
        "high": numbers(found.high[places]),
        "count": found.count[places].tolist(),
    }


def _mean_x(everyone: Sequence[tuple[npt.NDArray[np.int64], Vector]], rounds: npt.NDArray[np.int64]) -> Vector:
    every, x = aligned(everyone)
    at = x[:, np.searchsorted(every, rounds)]
    there = np.isfinite(at)
    mean: Vector = np.where(there, at, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return mean


def _x(parts: Mapping[Pair, Series], run: str, axis: Axis, rounds: npt.NDArray[np.int64]) -> Vector:
    """Return where rounds are on an axis; NaN for a run that does not report what it is made of."""
    if axis == "round":
        return rounds.astype(np.float64)
    found = [parts[run, name] for name in AXES[axis] if (run, name) in parts]
    if not found:
        return np.full(len(rounds), np.nan)
    every, values = aligned(found)
    reached = np.nansum(values, axis=0)
    so_far = np.concatenate([[0.0], reached if axis == "virtual" else np.cumsum(reached)])
    at: Vector = so_far[np.searchsorted(every, rounds, side="right")]
    return at


def _table(grouped: Sequence[RunGroup], parts: Mapping[Pair, Series], metric: str) -> list[dict[str, Any]]:
    """Return a row for each group: its last values over seeds, and the paired difference to the first group."""
    lasts = [
        {seed: _last(parts[run, metric]) for seed, run in group.by_seed.items() if (run, metric) in parts}
        for group in grouped
    ]
    differences = []
    for values in lasts[1:]:
        seeds = sorted(values.keys() & lasts[0].keys())
        differences.append(paired_difference([values[s] for s in seeds], [lasts[0][s] for s in seeds]))
    adjusted = holm([found.p_value for found in differences])
    rows: list[dict[str, Any]] = []
    for place, (group, values) in enumerate(zip(grouped, lasts, strict=True)):
        row: dict[str, Any] = {"label": group.label, "value": _interval(t_interval(list(values.values())))}
        if place:
            found = differences[place - 1]
            row["difference"] = {
                **_interval(found),
                "p_value": finite(found.p_value),
                "p_holm": finite(adjusted[place - 1]),
                "verdict": found.verdict,
            }
        rows.append(row)
    return rows


def _last(found: Series) -> float:
    return float(found[1][-1])


def _interval(found: Interval) -> dict[str, Any]:
    return {"mean": finite(found.mean), "low": finite(found.low), "high": finite(found.high), "count": found.count}


def numbers(values: Vector) -> list[float | None]:
    """Return values for a chart, None where there is nothing to draw."""
    return [finite(value) for value in values.tolist()]
