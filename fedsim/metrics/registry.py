"""Every number that a run reports, registered once: its name, unit and meaning.

Names are snake_case; counts of things start with `num_` or end in `_size`, seconds end in `_s`, shares in `_fraction`.
A *tagged* metric is a family: it is reported once per tag, as `<name>.<tag>` (`probe_variance.fedvarp`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_WHOLE = frozenset({"clients", "nodes", "messages", "bytes", "0/1", "round"})


@dataclass(frozen=True)
class Metric:
    """One registered metric.

    Attributes
    ----------
    unit : "1" for a pure number; "norm" and "norm^2" are lengths in parameter space.
    column : whether rounds.csv shows it (in runs that report it).
    tagged : whether it is a family, reported as `<name>.<tag>`.
    reproducible : False for what depends on the machine and the hour: two runs of one scenario may differ in it.
    """

    name: str
    unit: str
    meaning: str
    column: bool = True
    tagged: bool = False
    reproducible: bool = True

    @property
    def whole(self) -> bool:
        """Whether its values count things, and are written without a decimal point."""
        return self.unit in _WHOLE


METRICS: dict[str, Metric] = {}
"""All registered metrics by name, in the order in which rounds.csv shows them."""


def register(metric: Metric) -> Metric:
    """Add a metric. A second one of the same name, or a name against the conventions, is a mistake of ours."""
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", metric.name), f"{metric.name}: not snake_case"
    assert metric.name not in METRICS, f"{metric.name}: registered twice"
    assert (metric.unit == "s") == metric.name.endswith("_s"), f"{metric.name}: _s is the suffix of seconds"
    assert metric.unit, f"{metric.name}: needs a unit"
    assert metric.meaning, f"{metric.name}: needs a meaning"
    assert not (metric.tagged and metric.column), f"{metric.name}: a family is no column"
    METRICS[metric.name] = metric
    return metric


def find(name: str) -> Metric:
    """Return the metric that a reported name belongs to: `probe_variance.fedvarp` -> `probe_variance`.

    >>> find("probe_variance.fedvarp").unit
    'norm^2'
    """
    metric = METRICS.get(name)
    if metric is None and "." in name:
        metric = METRICS.get(name.split(".", 1)[0])
    assert metric is not None, f"{name}: not a registered metric"
    assert metric.tagged == (metric.name != name), f"{name}: a tag belongs to tagged metrics, and only to them"
    return metric


def out_of_reach(name: str, target: float) -> str | None:
    """Return why a metric can never have a value, None when it can.

    >>> out_of_reach("test_accuracy", 90)
    'test_accuracy is a share, between 0 and 1: it never reaches 90'
    >>> out_of_reach("test_loss", -1)
    'test_loss is never below 0: it never reaches -1'
    >>> out_of_reach("test_accuracy", 0.9)
    """
    if "accuracy" in name and "std" not in name and not 0 <= target <= 1:
        return f"{name} is a share, between 0 and 1: it never reaches {target:g}"
    if target < 0 and name not in SIGNED and not name.startswith("probe_"):
        return f"{name} is never below 0: it never reaches {target:g}"
    return None


SIGNED = frozenset({"weight_bias", "spectral_gap"})
"""Metrics that may be negative."""


def check(names: Iterable[str]) -> None:
    """Assert that every name is registered."""
    for name in names:
        metric = METRICS.get(name)
        if metric is None or metric.tagged:
            find(name)


def columns(names: Iterable[str]) -> tuple[str, ...]:
    """Return the header of rounds.csv for a run that reports these metrics: `round` first, then registry order.

    >>> columns(["test_loss", "cohort_size", "probe_variance.fedvarp"])
    ('round', 'cohort_size', 'test_loss')
    """
    wanted = {metric.name for metric in map(find, names) if metric.column} | {"round"}
    return tuple(name for name in METRICS if name in wanted)


def _timing(name: str, meaning: str) -> Metric:
    return Metric(name, "s", meaning, reproducible=False)


for _metric in (
    Metric("round", "round", "number of the round; training rounds start at 1"),
    # who took part
    Metric("cohort_size", "clients", "clients whose update entered the round"),
    Metric("empty_round", "0/1", "1 when no client's update entered the round"),
    Metric("num_invited", "clients", "clients that were asked to train"),
    Metric("num_crashed", "clients", "invited clients that failed"),
    Metric("num_late", "clients", "invited clients that missed the deadline"),
    Metric("num_surplus", "clients", "invited clients that replied after enough others"),
    Metric("num_lost", "clients", "invited clients whose message was lost"),
    # how learning goes
    Metric("train_loss", "1", "mean loss of the cohort's local steps"),
    Metric("test_loss", "1", "loss of the global model on the held-out split (quadratic: the objective itself)"),
    Metric("test_accuracy", "1", "share of the held-out split that the global model labels correctly"),
    Metric("distance", "norm", "distance of the parameters to the known optimum (quadratic)"),
    Metric("params_norm", "norm", "Euclidean norm of the global parameters"),
    # variance and bias
    Metric("update_norm", "norm", "Euclidean norm of the rule's update, before any server optimiser"),
    Metric("update_variance", "norm^2", "(1/|S|) sum_i ||delta_i - mean||^2 over the cohort"),
    Metric("memory_age_mean", "1", "mean over clients of the rounds since they last took part"),
    Metric("memory_age_max", "1", "largest number of rounds since a client last took part"),
    Metric("memory_drift", "norm", "distance of the running mean memory to the memories summed anew (audit)"),
    Metric("objective_tv", "1", "total variation distance of the effective from the target objective weights"),
    Metric("weight_bias", "1", "mean over clients of estimated weight times p_i, minus 1"),
    Metric("weight_variance", "1", "mean over clients of the squared deviation of estimated weight times p_i"),
    Metric("num_cutoffs", "clients", "clients whose participation interval was cut off in this round"),
    Metric("probe_bias2", "norm^2", "||E v - g||^2 of the update a strategy would apply", column=False, tagged=True),
    Metric(
        "probe_variance", "norm^2", "E||v - E v||^2 of the update a strategy would apply", column=False, tagged=True
    ),
    Metric("probe_bias2_exact", "norm^2", "closed form of probe_bias2", column=False, tagged=True),
    Metric("probe_variance_exact", "norm^2", "closed form of probe_variance", column=False, tagged=True),
    Metric("probe_error", "norm^2", "standard error of probe_variance", column=False, tagged=True),
    # gossip
    Metric("consensus_distance", "norm^2", "(1/N) sum_i ||x_i - mean||^2 over the nodes' models"),
    Metric("node_accuracy_mean", "1", "mean test accuracy of the nodes' own models"),
    Metric("node_accuracy_std", "1", "standard deviation of the nodes' test accuracies"),
    Metric("node_accuracy_min", "1", "lowest test accuracy of a node"),
    Metric("node_accuracy_q10", "1", "test accuracy that one node in ten stays below"),
    Metric("node_accuracy_median", "1", "median test accuracy of the nodes"),
    Metric("node_accuracy_q90", "1", "test accuracy that nine nodes in ten stay below"),
    Metric("node_accuracy_max", "1", "highest test accuracy of a node"),
    Metric("node_loss_mean", "1", "mean test loss of the nodes' own models"),
    Metric("spectral_gap", "1", "1 minus the second largest modulus of the window's mixing product, per round"),
    Metric("variance_before", "1", "weight variance of a tensor before training", column=False, tagged=True),
    Metric("variance_trained", "1", "weight variance of a tensor after training", column=False, tagged=True),
    Metric("variance_merged", "1", "weight variance of a tensor after the merge", column=False, tagged=True),
    Metric("correction_factor", "1", "factor that restores a tensor's variance, mean", column=False, tagged=True),
    Metric("correction_factor_max", "1", "largest factor of a client in the round", column=False, tagged=True),
    Metric("num_degenerate", "1", "tensors whose variance could not be restored in this round"),
    # traffic
    Metric("bytes_down", "bytes", "bytes a server would send: the model to every invited client"),
    Metric("bytes_up", "bytes", "bytes clients would send: a delta from every one that delivered"),
    Metric("messages", "messages", "messages between the engine and its nodes, both ways"),
    Metric("wire_bytes", "bytes", "bytes of the models and sums in those messages"),
    Metric("messages_attempted", "messages", "messages between nodes that were sent off"),
    Metric("messages_dropped", "messages", "messages between nodes that were lost"),
    Metric("messages_delivered", "messages", "messages between nodes that arrived"),
    Metric("messages_in_flight", "messages", "messages between nodes that are still under way"),
    Metric("bytes_exchanged", "bytes", "bytes that went from node to node"),
    # time
    Metric("virtual_s", "s", "simulated time at the end of the round"),
    _timing("choose_s", "time to choose the cohort"),
    _timing("send_s", "time to send the tasks"),
    _timing("collect_s", "time to collect the replies"),
    _timing("train_s", "training time of the slowest host"),
    _timing("ship_s", "collect time beyond the slowest host's training: transport and waiting"),
    _timing("reduce_s", "time to add up the nodes' sums"),
    _timing("idle_s", "time that hosts waited for the slowest one, summed over hosts"),
    _timing("step_s", "time of the rule's step"),
    _timing("record_s", "time to record the round"),
    _timing("save_s", "time to write a checkpoint"),
    _timing("evaluate_s", "time to evaluate the global model"),
    _timing("probe_s", "time of the variance probe"),
    _timing("round_s", "time from choose to step"),
):
    register(_metric)
