"""The store as Prometheus reads it: gauges of the runs that moved last, and how many runs there are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from fedsim.metrics import METRICS
from fedsim.store import schema
from fedsim.store.database import Store
from fedsim.store.queries import RUNS, latest, series

MOST_RUNS = 20
"""Runs that are shown one by one: those that changed last. Every other label is bounded too."""
NAMED = 60
"""Characters of a name that become a label."""
GAUGES = (
    "test_accuracy", "test_loss", "train_loss", "update_variance", "cohort_size", "memory_age_mean",
    "consensus_distance", "node_accuracy_mean",
)  # fmt: skip
TRAFFIC = ("bytes_down", "bytes_up", "bytes_exchanged")
LABELS = ["run", "name", "strategy", "seed"]
WINDOW = 20
"""Rounds over which the speed is averaged."""


def exposition(store: Store) -> bytes:
    """Return the text that Prometheus scrapes."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Runs(store))
    return generate_latest(registry)


class _Runs(Collector):
    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> list[Metric]:
        """Describe nothing ahead: names do not depend on what is in the store."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the store."""
        store = self._store
        with store.reading() as connection:
            states = connection.execute(select(RUNS.status, func.count()).group_by(RUNS.status)).all()
            columns = (RUNS.run, RUNS.name, RUNS.strategy, RUNS.seed, RUNS.round, RUNS.updated)
            runs = connection.execute(select(*columns).order_by(RUNS.updated.desc(), RUNS.run).limit(MOST_RUNS)).all()
        counts = GaugeMetricFamily("fedsim_runs", "Runs in the store, by state", labels=["status"])
        for status, count in states:
            counts.add_metric([status], count)
        yield counts
        named = {row.run: [row.run, row.name[:NAMED], row.strategy[:NAMED], row.seed] for row in runs}
        round = GaugeMetricFamily("fedsim_round", "Last round done", labels=LABELS)
        age = GaugeMetricFamily("fedsim_seconds_since_update", "Seconds since a run was last heard of", labels=LABELS)
        for row in runs:
            round.add_metric(named[row.run], row.round)
            age.add_metric(named[row.run], max(0.0, time.time() - row.updated))
        yield from (round, age)
        values = latest(store, [(run, name) for run in named for name in GAUGES])
        for name in GAUGES:
            gauge = GaugeMetricFamily(f"fedsim_{name}", _help(name), labels=LABELS)
            for run, labels in named.items():
                if (run, name) in values:
                    gauge.add_metric(labels, values[run, name])
            yield gauge
        yield from self._sums(named, {row.run: row.round for row in runs})

    def _sums(self, named: dict[str, list[Any]], reached: dict[str, int]) -> Iterator[Metric]:
        about = schema.metrics.c
        query = select(about.run, about.metric, func.sum(about.value))
        query = query.where(about.run.in_(list(named)), about.metric.in_(TRAFFIC)).group_by(about.run, about.metric)
        traffic = CounterMetricFamily("fedsim_bytes", "Bytes sent so far, by direction", labels=[*LABELS, "direction"])
        with self._store.reading() as connection:
            for run, metric, total in connection.execute(query):
                if total is not None:
                    traffic.add_metric([*named[run], metric.removeprefix("bytes_")], total)
        yield traffic
        speed = GaugeMetricFamily("fedsim_rounds_per_second", f"Over the last {WINDOW} rounds", labels=LABELS)
        recent = series(self._store, {(run, "round_s"): reached[run] - WINDOW for run in named})
        for (run, _), (_, seconds) in recent.items():
            if seconds.sum() > 0:
                speed.add_metric(named[run], len(seconds) / float(seconds.sum()))
        yield speed


def _help(name: str) -> str:
    metric = METRICS[name]
    return metric.meaning if metric.unit == "1" else f"{metric.meaning} ({metric.unit})"
