"""Every number that a run reports, registered once: name, unit, meaning, direction, and which runs have it.

Names are snake_case; counts of things start with `num_` or end in `_size`, seconds end in `_s`, shares in `_fraction`.
A *tagged* metric is a family: it is reported once per tag, as `<name>.<tag>` (`probe_variance.fedvarp`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

Better = Literal["higher", "lower"]
Fact = Literal[
    "server", "peers", "labels", "optimum", "memories", "audit", "estimates", "told", "clock", "probe", "checkpoints"
]
Facts = tuple[Fact, ...]
FACTS: Mapping[Fact, str] = {
    "server": "a server model",
    "peers": "gossip",
    "labels": "data with labels",
    "optimum": "a known optimum",
    "memories": "a strategy that remembers",
    "audit": "`memory.audit` and a running mean of the memories",
    "estimates": "a strategy that estimates 1/p_i, where the p_i are known",
    "told": "a strategy that tells it",
    "clock": "`devices`",
    "probe": "`probe`",
    "checkpoints": "`checkpoint`",
}
"""What can hold of a run, in words: the conditions under which metrics appear."""

_WHOLE = frozenset({"clients", "nodes", "messages", "bytes", "0/1", "round"})


@dataclass(frozen=True)
class Metric:
    """One registered metric.

    Attributes
    ----------
    unit : "1" for a pure number; "norm" and "norm^2" are lengths in parameter space.
    better : which way is better, None when neither is.
    when : a run reports it when all of these hold.
    column : whether rounds.csv shows it (in runs that report it).
    tagged : whether it is a family, reported as `<name>.<tag>`.
    reproducible : False for what depends on the machine and the hour: two runs of one scenario may differ in it.
    """

    name: str
    unit: str
    meaning: str
    better: Better | None = None
    when: Facts = ()
    column: bool = True
    tagged: bool = False
    reproducible: bool = True

    @property
    def whole(self) -> bool:
        """Whether its values count things, and are written without a decimal point."""
        return self.unit in _WHOLE


METRICS: dict[str, Metric] = {}
"""All registered metrics by name, in the order in which rounds.csv shows them."""


HEADLINES = ("test_accuracy", "node_accuracy_mean", "test_loss", "node_loss_mean", "distance", "consensus_distance")
"""What a run is judged by at a glance: the first of these that it reports, or all of them where there is room."""


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


def unit_words(name: str) -> str:
    """Return the unit of a metric as an axis shows it; nothing for a pure number.

    >>> unit_words("update_variance"), unit_words("virtual_s"), unit_words("test_accuracy")
    ('norm²', 's', '')
    """
    unit = find(name).unit
    return "" if unit in ("1", "0/1") else unit.replace("^2", "²")


def bounds(name: str) -> tuple[float, float]:
    """Return the least and the greatest value that a metric can have.

    >>> bounds("test_accuracy"), bounds("test_loss"), bounds("weight_bias")
    ((0.0, 1.0), (0.0, inf), (-inf, inf))
    """
    if ("accuracy" in name and "std" not in name) or name.endswith("_fraction"):
        return 0.0, 1.0
    return (-inf, inf) if name in SIGNED or name.startswith("probe_") else (0.0, inf)


def out_of_reach(name: str, target: float) -> str | None:
    """Return why a metric can never have a value, None when it can.

    >>> out_of_reach("test_accuracy", 90)
    'test_accuracy is a share, between 0 and 1: it never reaches 90'
    >>> out_of_reach("test_loss", -1)
    'test_loss is never below 0: it never reaches -1'
    >>> out_of_reach("test_accuracy", 0.9)
    """
    low, high = bounds(name)
    if high == 1 and not low <= target <= high:
        return f"{name} is a share, between 0 and 1: it never reaches {target:g}"
    if target < low:
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


def appearing(facts: Iterable[Fact], told: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the metrics that a run of this kind reports, without tagged ones; `told` are those its strategy tells.

    >>> "num_late" in appearing(["server"]), "num_late" in appearing(["server", "clock"])
    (False, True)
    """
    held, known = set(facts), set(told)
    return tuple(
        name
        for name, metric in METRICS.items()
        if not metric.tagged and (held.issuperset(metric.when) or name in known)
    )


def higher_is_better(name: str) -> bool:
    """Return whether more of a metric is better; of what is not registered, as in a store of another version, less is.

    >>> higher_is_better("test_accuracy"), higher_is_better("node_accuracy_std"), higher_is_better("test_loss")
    (True, False, False)
    """
    metric = METRICS.get(name.split(".", 1)[0])
    return metric is not None and metric.better == "higher"


def _family(name: str, unit: str, meaning: str, better: Better | None = None, when: Facts = ()) -> Metric:
    return Metric(name, unit, meaning, better, when, column=False, tagged=True)


def _timing(name: str, meaning: str, *, column: bool = True, when: Facts = ()) -> Metric:
    return Metric(name, "s", meaning, when=when, column=column, reproducible=False)


LABELS: Facts = ("labels",)
OPTIMUM: Facts = ("optimum",)
SERVER: Facts = ("server",)
MEMORIES: Facts = ("server", "memories")
AUDIT: Facts = ("server", "audit")
ESTIMATES: Facts = ("estimates",)
PEERS: Facts = ("peers",)
NODES: Facts = ("peers", "labels")
CLOCK: Facts = ("clock",)
PROBE: Facts = ("probe",)

for _metric in (
    Metric("round", "round", "number of the round; training rounds start at 1"),
    # who took part
    Metric("cohort_size", "clients", "clients whose update entered the round"),
    Metric("empty_round", "0/1", "1 when no client's update entered the round"),
    Metric("num_invited", "clients", "clients that were asked to train"),
    Metric("num_crashed", "clients", "invited clients that failed"),
    Metric("num_late", "clients", "invited clients that missed the deadline", when=CLOCK),
    Metric("num_surplus", "clients", "invited clients that replied after enough others", when=CLOCK),
    Metric("num_lost", "clients", "invited clients whose message was lost"),
    # how learning goes
    Metric("train_loss", "1", "mean loss of the cohort's local steps", "lower"),
    Metric(
        "test_loss", "1", "loss of the global model on the held-out split (quadratic: the objective itself)", "lower"
    ),
    Metric(
        "test_accuracy", "1", "share of the held-out split that the global model labels correctly", "higher", LABELS
    ),
    Metric("distance", "norm", "distance of the parameters to the known optimum (quadratic)", "lower", OPTIMUM),
    Metric("params_norm", "norm", "Euclidean norm of the global parameters", when=SERVER),
    # variance and bias
    Metric("update_norm", "norm", "Euclidean norm of the rule's update, before any server optimiser", when=SERVER),
    Metric("update_variance", "norm^2", "(1/|S|) sum_i ||delta_i - mean||^2 over the cohort", "lower", SERVER),
    Metric("memory_age_mean", "1", "mean over clients of the rounds since they last took part", "lower", MEMORIES),
    Metric("memory_age_max", "1", "largest number of rounds since a client last took part", "lower", MEMORIES),
    Metric(
        "memory_drift",
        "norm",
        "distance of the running mean memory to the memories summed anew (audit)",
        "lower",
        AUDIT,
    ),
    Metric(
        "objective_tv",
        "1",
        "total variation distance of the effective from the target objective weights",
        "lower",
        SERVER,
    ),
    Metric("weight_bias", "1", "mean over clients of estimated weight times p_i, minus 1", when=ESTIMATES),
    Metric(
        "weight_variance",
        "1",
        "mean over clients of the squared deviation of estimated weight times p_i",
        "lower",
        ESTIMATES,
    ),
    Metric("num_cutoffs", "clients", "clients whose participation interval was cut off in this round", when=("told",)),
    _family("probe_bias2", "norm^2", "||E v - g||^2 of the update a strategy would apply", "lower", PROBE),
    _family("probe_variance", "norm^2", "E||v - E v||^2 of the update a strategy would apply", "lower", PROBE),
    _family("probe_bias2_exact", "norm^2", "closed form of probe_bias2", "lower", PROBE),
    _family("probe_variance_exact", "norm^2", "closed form of probe_variance", "lower", PROBE),
    _family("probe_error", "norm^2", "standard error of probe_variance", when=PROBE),
    # gossip
    Metric("consensus_distance", "norm^2", "(1/N) sum_i ||x_i - mean||^2 over the nodes' models", "lower", PEERS),
    Metric("node_accuracy_mean", "1", "mean test accuracy of the nodes' own models", "higher", NODES),
    Metric("node_accuracy_std", "1", "standard deviation of the nodes' test accuracies", "lower", NODES),
    Metric("node_accuracy_min", "1", "lowest test accuracy of a node", "higher", NODES),
    Metric("node_accuracy_q10", "1", "test accuracy that one node in ten stays below", "higher", NODES),
    Metric("node_accuracy_median", "1", "median test accuracy of the nodes", "higher", NODES),
    Metric("node_accuracy_q90", "1", "test accuracy that nine nodes in ten stay below", "higher", NODES),
    Metric("node_accuracy_max", "1", "highest test accuracy of a node", "higher", NODES),
    Metric("node_loss_mean", "1", "mean test loss of the nodes' own models", "lower", PEERS),
    Metric(
        "spectral_gap", "1", "1 minus the second largest modulus of the window's mixing product, per round", when=PEERS
    ),
    _family("variance_before", "1", "weight variance of a tensor before training", when=PEERS),
    _family("variance_trained", "1", "weight variance of a tensor after training", when=PEERS),
    _family("variance_merged", "1", "weight variance of a tensor after the merge", when=PEERS),
    _family("correction_factor", "1", "factor that restores a tensor's variance, mean", when=PEERS),
    _family("correction_factor_max", "1", "largest factor of a client in the round", when=PEERS),
    Metric("num_degenerate", "1", "tensors whose variance could not be restored in this round", when=PEERS),
    # traffic
    Metric("bytes_down", "bytes", "bytes a server would send: the model to every invited client"),
    Metric("bytes_up", "bytes", "bytes clients would send: a delta from every one that delivered"),
    Metric("messages", "messages", "messages between the engine and its nodes, both ways"),
    Metric("wire_bytes", "bytes", "bytes of the models and sums in those messages", when=SERVER),
    Metric("messages_attempted", "messages", "messages between nodes that were sent off", when=PEERS),
    Metric("messages_dropped", "messages", "messages between nodes that were lost", when=PEERS),
    Metric("messages_delivered", "messages", "messages between nodes that arrived", when=PEERS),
    Metric("messages_in_flight", "messages", "messages between nodes that are still under way", when=PEERS),
    Metric("bytes_exchanged", "bytes", "bytes that went from node to node", when=PEERS),
    # time
    Metric("virtual_s", "s", "simulated time at the end of the round", when=CLOCK),
    _timing("choose_s", "time to choose the cohort"),
    _timing("send_s", "time to send the tasks"),
    _timing("collect_s", "time to collect the replies"),
    _timing("train_s", "training time of the slowest host"),
    _timing("ship_s", "collect time beyond the slowest host's training: transport and waiting"),
    _timing("reduce_s", "time to add up the nodes' sums"),
    _timing("idle_s", "time that hosts waited for the slowest one, summed over hosts"),
    _timing("step_s", "time of the rule's step"),
    _timing("record_s", "time to record the round"),
    _timing("save_s", "time to write a checkpoint", column=False, when=("checkpoints",)),
    _timing("evaluate_s", "time to evaluate the global model"),
    _timing("probe_s", "time of the variance probe", column=False, when=PROBE),
    _timing("round_s", "time from choose to step"),
):
    register(_metric)
