"""What a metric is: name, unit, meaning, direction, which runs have it, and how it is computed where a function says.

Names are snake_case; counts of things start with `num_` or end in `_size`, seconds end in `_s`, shares in `_fraction`.
A *tagged* metric is a family: it is reported once per tag, as `<name>.<tag>` (`probe_variance.fedvarp`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

from fedsim.core.contracts import Ids, Parameters, Vector
from fedsim.task import TaskMetric

Better = Literal["higher", "lower"]
Fact = Literal[
    "server",
    "peers",
    "labels",
    "task",
    "optimum",
    "memories",
    "audit",
    "controls",
    "estimates",
    "told",
    "clock",
    "probe",
    "privacy",
    "checkpoints",
    "own",
    "personal",
    "deciles",
]
Facts = tuple[Fact, ...]
FACTS: Mapping[Fact, str] = {
    "server": "a server model",
    "peers": "gossip",
    "labels": "accuracy among `task.metrics`",
    "task": "`task.metrics`",
    "optimum": "a known optimum",
    "memories": "a strategy that remembers",
    "audit": "`memory.audit` and a running mean of the memories",
    "controls": "`memory.audit` and a correction that knows the means of its memories",
    "estimates": "a strategy that estimates 1/p_i, where the p_i are known",
    "told": "a strategy that tells it",
    "clock": "`devices`",
    "probe": "`probe`",
    "privacy": "`strategy.dp_delta`",
    "checkpoints": "`checkpoint`",
    "own": "`evaluate.clients`",
    "personal": "`evaluate.personal_epochs`",
    "deciles": "`evaluate.clients` and p_i that are known and differ, of at least ten clients",
}
"""What can hold of a run, in words: the conditions under which metrics appear."""

SPREAD: Mapping[str, str] = {
    "mean": "mean over clients",
    "sd": "standard deviation over clients",
    "q10": "one client in ten is below",
    "q50": "median over clients",
    "q90": "nine clients in ten are below",
    "worst_decile": "mean of the worst tenth of the clients",
}
"""What is told of a metric over clients."""

_WHOLE = frozenset({"clients", "nodes", "messages", "bytes", "0/1", "round"})


@dataclass(frozen=True)
class Round:
    """What a metric with a function of its own is computed from; nothing of it may be written to.

    Attributes
    ----------
    number : from 1. clients : ids of those who took part, ascending.
    values : what the engine has measured of this round, by name.
    params : (d,) the global model after the round, None in gossip.
    update : (d,) what the rule made of the round, before any server optimiser; None where nothing moved.
    """

    number: int
    clients: Ids
    values: Mapping[str, float]
    params: Parameters | None = None
    update: Vector | None = None


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
    signed : whether it may be negative.
    most : no value is above.
    of : how it follows from a round as it was played; None where the engine or the strategy reports it by its name.
    """

    name: str
    unit: str
    meaning: str
    better: Better | None = None
    when: Facts = ()
    column: bool = True
    tagged: bool = False
    reproducible: bool = True
    signed: bool = False
    most: float = inf
    of: Callable[[Round], float] | None = None

    @property
    def whole(self) -> bool:
        """Whether its values count things, and are written without a decimal point."""
        return self.unit in _WHOLE


def family(
    name: str, unit: str, meaning: str, better: Better | None = None, when: Facts = (), *, signed: bool = False
) -> Metric:
    """Return a metric that is reported once per tag."""
    return Metric(name, unit, meaning, better, when, column=False, tagged=True, signed=signed)


def of_task(metric: TaskMetric) -> Metric:
    """Return a metric of the task as a run reports it."""
    return Metric(
        f"test_{metric.name}",
        metric.unit,
        metric.told,
        metric.better,
        ("task",),
        signed=metric.signed,
        most=metric.most,
    )


def of_clients(metric: TaskMetric) -> tuple[Metric, ...]:
    """Return how a metric of the task is spread over clients: as it is, after local epochs, and by who is there."""
    found = []
    kinds: tuple[tuple[Fact, str, str], ...] = (
        ("own", "client", "of the global model on each client's own examples"),
        ("personal", "personal", "on each client's own examples after local epochs of its own"),
    )
    for fact, prefix, what in kinds:
        for key, told in SPREAD.items():
            better: Better | None = "lower" if key == "sd" else metric.better
            name, text = f"{prefix}_{metric.name}_{key}", f"{metric.name} {what}: {told}"
            signed = metric.signed and key != "sd"
            found.append(Metric(name, metric.unit, text, better, (fact,), signed=signed, most=metric.most))
    for tenth in range(1, 11):
        text = f"{metric.name} of the global model on own examples, mean of the clients in tenth {tenth} by p_i"
        name = f"client_{metric.name}_p{tenth}"
        found.append(
            Metric(name, metric.unit, text, metric.better, ("deciles",), signed=metric.signed, most=metric.most)
        )
    return tuple(found)


def timing(name: str, meaning: str, *, column: bool = True, when: Facts = ()) -> Metric:
    """Return a metric of wall-clock seconds."""
    return Metric(name, "s", meaning, when=when, column=column, reproducible=False)
