"""Strategies compared on the same clients, data and absences: paired over seeds, as tables and curves.

All strategies of a seed share its data, first parameters and schedule (common random numbers), so that differences
within seeds are due to the strategies alone. A run that fails or diverges is listed and left out of the means; the
others go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedsim.analysis.bands import Band, band
from fedsim.analysis.figures import Forest, Panel
from fedsim.analysis.outcome import RunResult
from fedsim.analysis.paired import (
    LEVEL,
    Difference,
    Interval,
    Reached,
    holm,
    log_rank,
    median_reached,
    paired_difference,
    rounds_to_target,
    t_interval,
)
from fedsim.core import ScenarioError
from fedsim.core.config.plain import plain_value
from fedsim.core.system.versions import versions
from fedsim.metrics.registry import bounds, higher_is_better, of_tasks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Measure:
    """A number that each run comes to. `per_round`: its mean over the rounds, else its value at the end."""

    name: str
    metric: str
    title: str
    per_round: bool = False

    @property
    def higher(self) -> bool:
        """Whether more of it is better."""
        return higher_is_better(self.metric)


MEASURES = (
    Measure("test_accuracy", "test_accuracy", "test accuracy"),
    Measure("node_accuracy_mean", "node_accuracy_mean", "test accuracy, mean over nodes"),
    Measure("test_loss", "test_loss", "test loss"),
    Measure("node_loss_mean", "node_loss_mean", "test loss, mean over nodes"),
    Measure("distance", "distance", "distance to the optimum"),
    Measure("consensus_distance", "consensus_distance", "consensus distance"),
    Measure("update_variance", "update_variance", "update variance over the cohort", per_round=True),
    Measure("probe_variance", "probe_variance.this", "variance of the applied update", per_round=True),
    Measure("probe_bias2", "probe_bias2.this", "squared bias of the applied update", per_round=True),
    Measure("objective_tv", "objective_tv", "total variation from the target objective"),
)


@dataclass(frozen=True)
class Target:
    """A level of a metric; `chosen` when nobody named it."""

    metric: str
    value: float
    chosen: bool = False


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison."""

    label: str
    seed: int
    outcome: RunResult


@dataclass(frozen=True)
class MeasureSummary:
    """What a strategy came to in one measure, over seeds; no difference for the baseline itself."""

    interval: Interval
    difference: Difference | None = None
    p_holm: float = nan


@dataclass(frozen=True)
class Comparison:
    """A finished comparison: `table` has a row for each strategy, `rounds` every number of every round.

    Attributes
    ----------
    baseline : the strategy that the others are compared with, by its label.
    marks : what a line has of its own of data, first parameters and absences, which all others share.
    entries : the runs, seed by seed. `last`: final values are means over so many last evaluations.
    also : metrics that are measured besides those of every comparison.
    """

    name: str
    folder: Path
    strategies: Mapping[str, Any]
    baseline: str
    seeds: tuple[int, ...]
    entries: tuple[ComparedRun, ...]
    asked: Target | None = None
    last: int = 1
    marks: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()

    def shown(self, label: str) -> str:
        """Return what a table calls a line: its label, and what it does not share with the others."""
        return f"{label} [{self.marks[label]}]" if label in self.marks else label

    @property
    def labels(self) -> list[str]:
        """What the strategies are called, in the order in which they were given."""
        return list(self.strategies)

    @property
    def failed(self) -> list[ComparedRun]:
        """The runs that did not come to their end."""
        return [entry for entry in self.entries if entry.outcome.exit_code]

    @property
    def anew(self) -> tuple[str, ...]:
        """Why runs that had been here before were trained again: what changed in which input file."""
        return tuple(dict.fromkeys(entry.outcome.anew for entry in self.entries if entry.outcome.anew))

    @property
    def exit_code(self) -> int:
        """Return 0 when all runs ended well, else the highest exit code."""
        return max((entry.outcome.exit_code for entry in self.entries), default=0)

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """Every metric of every run: label, run, name, strategy, seed, round, metric, value."""
        return _frames(self.entries, None)

    @cached_property
    def _series(self) -> dict[tuple[str, str], dict[int, tuple[Any, Any]]]:
        """(metric, label) -> seed -> (rounds, values), for the metrics of the measures."""
        wanted = {measure.metric for measure in self._known} | ({self.asked.metric} if self.asked else set())
        found: dict[tuple[str, str], dict[int, tuple[Any, Any]]] = {}
        frame = _frames(self.entries, sorted(wanted))
        for key, rows in frame.sort_values("round").groupby(["metric", "label", "seed"], sort=False):
            metric, label, seed = map(str, key)
            found.setdefault((metric, label), {})[int(seed)] = (rows["round"].to_numpy(), rows["value"].to_numpy())
        return found

    def series(self, metric: str, label: str) -> list[tuple[Any, Any]]:
        """Return (rounds, values) of a strategy for each seed that has the metric."""
        return list(self._series.get((metric, label), {}).values())

    @cached_property
    def measures(self) -> list[Measure]:
        """The measures that these runs report."""
        reported = {metric for metric, _ in self._series}
        return [measure for measure in self._known if measure.metric in reported]

    @cached_property
    def _known(self) -> list[Measure]:
        """The measures that there are: those of every run, after the accuracy those of the task."""
        told = of_tasks(name for entry in self.entries for name in entry.outcome.final)
        more = [name for name in self.also if name not in {*told, *(m.name for m in MEASURES)}]
        named = [Measure(name, name, name.replace("_", " ")) for name in (*told, *more)]
        return [*MEASURES[:1], *named, *MEASURES[1:]]

    def values(self, measure: Measure, label: str) -> list[float]:
        """Return the measure of a strategy for each seed, NaN for runs that failed."""
        good = {e.seed for e in self.entries if e.label == label and not e.outcome.exit_code}
        series = self._series.get((measure.metric, label), {})
        return [self._value(measure, *series[s]) if s in good and s in series else nan for s in self.seeds]

    def _value(self, measure: Measure, rounds: Any, values: Any) -> float:
        if measure.name == "objective_tv":
            return float(values[-1])  # a running total: its last value is what the whole run came to
        kept = values[rounds > 0] if measure.per_round else values[-self.last :]
        return float(np.mean(kept)) if len(kept) else nan

    @cached_property
    def summaries(self) -> dict[str, dict[str, MeasureSummary]]:
        """Measure -> strategy -> interval, paired difference to the baseline, and its p-value adjusted by Holm."""
        found = {}
        for measure in self.measures:
            values = {label: self.values(measure, label) for label in self.labels}
            others = [label for label in self.labels if label != self.baseline]
            differences = {label: paired_difference(values[label], values[self.baseline]) for label in others}
            adjusted = dict(zip(others, holm([differences[label].p_value for label in others]), strict=True))
            found[measure.name] = {
                label: MeasureSummary(t_interval(values[label]), differences.get(label), adjusted.get(label, nan))
                for label in self.labels
            }
        return found

    @cached_property
    def target(self) -> Target | None:
        """The target asked for; else 95 % of the way from round 0 to the best strategy's mean at the end."""
        if self.asked is not None:
            return self.asked
        for measure in self.measures:
            if measure.per_round or measure.name == "objective_tv":
                continue
            ends = [summary.interval.mean for summary in self.summaries[measure.name].values()]
            ends = [value for value in ends if np.isfinite(value)]
            first = [values[0] for label in self.labels for _, values in self.series(measure.metric, label)]
            if ends and np.isfinite(first).all():
                best, start = (max(ends) if measure.higher else min(ends)), float(np.mean(first))
                return Target(measure.metric, float(f"{start + 0.95 * (best - start):.4g}"), chosen=True)
        return None

    @cached_property
    def reached(self) -> dict[str, list[Reached]]:
        """Strategy -> for each seed the round at which the target was reached, censored where it was not.

        A run that failed without reaching it counts as followed to the last round that any run was evaluated at.
        """
        if self.target is None:
            return {}
        higher, metric = higher_is_better(self.target.metric), self.target.metric
        horizon = max((int(r[-1]) for label in self.labels for r, _ in self.series(metric, label)), default=0)
        failed = {(entry.label, entry.seed) for entry in self.failed}
        found: dict[str, list[Reached]] = {}
        for label in self.labels:
            series = self._series.get((metric, label), {})
            for seed in self.seeds:
                one = rounds_to_target(*series.get(seed, ((), ())), self.target.value, higher=higher)
                lost = one.censored and ((label, seed) in failed or seed not in series)
                found.setdefault(label, []).append(Reached(horizon, censored=True) if lost else one)
        return found

    def saved(self, label: str) -> Difference:
        """Return the paired difference to the baseline in rounds to the target; none where a run did not reach it.

        When such a run would have reached it is not known, and no number may stand for it: see `reached_p`.
        """
        ours, theirs = self.reached[label], self.reached[self.baseline]
        if any(one.censored for one in (*ours, *theirs)):
            return paired_difference([nan] * len(ours), [nan] * len(theirs))
        return paired_difference([float(one.round) for one in ours], [float(one.round) for one in theirs])

    def reached_p(self, label: str) -> float:
        """Return the p-value of the log-rank test that a strategy and the baseline reach the target equally soon."""
        return log_rank(self.reached[label], self.reached[self.baseline])

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each strategy: every measure with its interval and its paired difference to the baseline."""
        import pandas as pd

        rows = []
        for label in self.labels:
            failed = sum(entry.label == label for entry in self.failed)
            row: dict[str, Any] = {"strategy": label, "seeds": len(self.seeds), "failed": failed}
            for measure in self.measures:
                summary = self.summaries[measure.name][label]
                row |= _columns(measure.name, summary.interval)
                if summary.difference is not None:
                    row |= _columns(f"{measure.name}_difference", summary.difference)
                    row[f"{measure.name}_p"] = summary.difference.p_value
                    row[f"{measure.name}_p_holm"] = summary.p_holm
            if self.target is not None:
                median = median_reached(self.reached[label])
                row["rounds_to_target"] = median.round
                row["rounds_to_target_censored"] = median.censored
                row["reached"] = sum(not one.censored for one in self.reached[label])
                if label != self.baseline:
                    row |= _columns("rounds_to_target_difference", self.saved(label))
                    row["rounds_to_target_p_logrank"] = self.reached_p(label)
            rows.append(row)
        return pd.DataFrame(rows).set_index("strategy")

    def curves(self, metric: str, places: int = 100) -> dict[str, Band]:
        """Return the mean curve of each strategy with its band over seeds, thinned to so many points.

        A band ends where no value of the metric can be.
        """
        ends = bounds(metric)
        found = {label: band(self.series(metric, label), places=places).within(*ends) for label in self.labels}
        return {label: curve for label, curve in found.items() if len(curve.rounds)}

    @cached_property
    def panels(self) -> list[Panel | Forest]:
        """What the figures show: accuracy, loss, the differences to the baseline, and variance."""
        titles = {m.name: m for m in self.measures}
        accuracies = [name for name in titles if higher_is_better(name)]
        first = accuracies or [name for name in titles if name == "distance"]
        others = [name for name in ("test_loss", "node_loss_mean", "consensus_distance") if name in titles]
        variances = [name for name in ("update_variance", "probe_variance") if name in titles]
        shown = [titles[name] for name in (*first, *others, *variances)]
        panels: list[Panel | Forest] = [
            Panel(m.title, self.curves(m.metric), m.metric, log=not m.higher, target=self._target_of(m)) for m in shown
        ]
        for name in (first or others)[:1]:
            rows = {label: s.difference for label, s in self.summaries[name].items() if s.difference is not None}
            if any(found.count for found in rows.values()):
                panels.insert(2, Forest(f"{titles[name].title}: paired difference to {self.baseline}", rows))
        return panels

    def plot(self) -> Figure:
        """Return the figure of the comparison: curves with their bands, and the paired differences."""
        from fedsim.analysis.notebook.shown import plot

        return plot(self.name, self.panels)

    def __repr__(self) -> str:
        return f"Comparison({self.name}: {', '.join(self.labels)}; {len(self.seeds)} seeds; {self.folder})"

    def _repr_html_(self) -> str:
        from fedsim.analysis.notebook.shown import html_of_comparison

        return html_of_comparison(self)

    def _target_of(self, measure: Measure) -> float | None:
        return self.target.value if self.target is not None and self.target.metric == measure.metric else None

    def as_json(self) -> dict[str, Any]:
        """Return everything that was found, with the values of each run, so that it can be computed anew."""
        strategies = []
        for label, rule in self.strategies.items():
            runs = [
                {
                    "seed": e.seed,
                    "folder": str(e.outcome.folder),
                    "status": e.outcome.status,
                    "exit_code": e.outcome.exit_code,
                    "error": e.outcome.error,
                    **{k: e.outcome.summary.get(k) for k in ("run", "scenario_hash", "schedule_hash", "params_sha256")},
                }
                for e in self.entries
                if e.label == label
            ]
            measures = {
                measure.name: asdict(self.summaries[measure.name][label]) | {"values": self.values(measure, label)}
                for measure in self.measures
            }
            found: dict[str, Any] = {
                "label": label,
                **({"mark": self.marks[label]} if label in self.marks else {}),
                "options": plain_value(rule),
                "measures": measures,
                "runs": runs,
            }
            if self.target is not None:
                found["rounds_to_target"] = [asdict(one) for one in self.reached[label]]
            strategies.append(found)
        about = {"name": self.name, "baseline": self.baseline, "seeds": self.seeds, "level": LEVEL, "last": self.last}
        target = None if self.target is None else asdict(self.target)
        return {**about, "target": target, "strategies": strategies, "versions": versions()}


def _columns(name: str, found: Interval) -> dict[str, float]:
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}


def _frames(entries: Sequence[ComparedRun], metrics: Sequence[str] | None) -> pd.DataFrame:
    """Return the tidy rows of many runs, with a column `label` first; every store is read once."""
    import pandas as pd

    from fedsim.analysis.frames import COLUMNS, load, load_run
    from fedsim.store.sink import SPOOL

    by_store: dict[str, list[ComparedRun]] = {}
    for entry in entries:
        if "run" in entry.outcome.summary:
            whole = not (entry.outcome.folder / SPOOL).exists()
            by_store.setdefault(str(entry.outcome.summary["store"]) if whole else "", []).append(entry)
    frames = []
    for store, those in by_store.items():
        label = {entry.outcome.summary["run"]: entry.label for entry in those}
        try:
            frame = load(store, runs=list(label), metrics=metrics) if store else None
        except ScenarioError:
            frame = None  # the store is gone, or was replaced: the folders still have the rows
        if frame is None:
            frame = pd.concat([load_run(entry.outcome.folder) for entry in those])
            frame = frame if metrics is None else frame[frame["metric"].isin(metrics)]
        frames.append(frame.assign(label=frame["run"].map(label)))
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*COLUMNS, "label"])
    return found[["label", *COLUMNS]]
