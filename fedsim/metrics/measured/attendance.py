"""Who took part in a round."""

from __future__ import annotations

from fedsim.metrics.metric import Facts, Metric

CLOCK: Facts = ("clock",)

METRICS = (
    Metric("round", "round", "number of the round; training rounds start at 1"),
    Metric("cohort_size", "clients", "clients whose update entered the round"),
    Metric("empty_round", "0/1", "1 when no client's update entered the round"),
    Metric("num_invited", "clients", "clients that were asked to train"),
    Metric("num_crashed", "clients", "invited clients that failed"),
    Metric("num_late", "clients", "invited clients that missed the deadline", when=CLOCK),
    Metric("num_surplus", "clients", "invited clients that replied after enough others", when=CLOCK),
    Metric("num_lost", "clients", "invited clients whose message was lost"),
)
