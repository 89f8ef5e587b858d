"""What a scenario wants to reach is something that its runs measure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedsim.metrics import METRICS
from fedsim.metrics.registry import know, metric_of, out_of_reach
from fedsim.scenario.messages import did_you_mean

Found = Iterator[tuple[tuple[str, ...], str]]


def _of_task(name: str) -> bool:
    found = metric_of(name)
    return found is not None and found.when == ("task",)


def stop_looks_at_a_metric(stop: Any, task: Any) -> Found:
    """The metric that ends a run is one that is recorded."""
    named = () if task is None else task.metrics or ()
    measured = {know(metric).name for metric in named}
    if stop is not None and stop.metric is not None and metric_of(stop.metric) is None:
        yield ("stop", "metric"), f"no metric is called {stop.metric!r}{did_you_mean(stop.metric, METRICS)}"
    elif (
        stop is not None and stop.metric is not None and named and _of_task(stop.metric) and stop.metric not in measured
    ):
        yield ("stop", "metric"), f"{stop.metric} is not among task.metrics, so that it is never measured"
    elif stop is not None and stop.metric is not None and stop.target is not None:
        never = out_of_reach(stop.metric, stop.target)
        if never is not None:
            yield ("stop", "target"), never
