"""How long the phases of a round take, and the simulated clock."""

from __future__ import annotations

from fedsim.metrics.metric import Facts, Metric, timing

CLOCK: Facts = ("clock",)
PROBE: Facts = ("probe",)

METRICS = (
    Metric("virtual_s", "s", "simulated time at the end of the round", when=CLOCK),
    timing("choose_s", "time to choose the cohort"),
    timing("send_s", "time to send the tasks"),
    timing("collect_s", "time to collect the replies"),
    timing("train_s", "training time of the slowest host"),
    timing("ship_s", "collect time beyond the slowest host's training: transport and waiting"),
    timing("reduce_s", "time to add up the nodes' sums"),
    timing("idle_s", "time that hosts waited for the slowest one, summed over hosts"),
    timing("step_s", "time of the rule's step"),
    timing("record_s", "time to record the round"),
    timing("save_s", "time to write a checkpoint", column=False, when=("checkpoints",)),
    timing("evaluate_s", "time to evaluate the global model"),
    timing("probe_s", "time of the variance probe", column=False, when=PROBE),
    timing("round_s", "time from choose to step"),
)
