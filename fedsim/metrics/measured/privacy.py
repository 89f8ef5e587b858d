"""What a run has spent of its clients' privacy."""

from __future__ import annotations

from fedsim.metrics.metric import Metric

METRICS = (
    Metric(
        "dp_epsilon",
        "1",
        "epsilon at `strategy.dp_delta` of the rounds so far, for one client more or less where each comes by a coin, "
        "for one in place of another where cohorts have a fixed size",
        "lower",
        ("privacy",),
    ),
)
