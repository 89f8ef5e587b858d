"""Every number that a run reports, found in the files of the room `measured`, and asked for by name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import import_module
from math import inf
from pkgutil import iter_modules

from fedsim.metrics import measured
from fedsim.metrics.measured import SUBJECTS
from fedsim.metrics.metric import Fact, Metric, of_clients, of_task
from fedsim.task import TaskMetric
from fedsim.task.metrics import named

METRICS: dict[str, Metric] = {}
"""All registered metrics by name, in the order in which rounds.csv shows them."""


_COLLECTED: set[str] = set()
"""Those of the files; a task may bring others."""

_CLIENTS = ("client_", "personal_")
_OF_CLIENTS = re.compile(r"(?:client|personal)_(.+?)_(?:mean|sd|q10|q50|q90|worst_decile|p[0-9]+)")

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
    metric = metric_of(name)
    assert metric is not None, f"{name}: not a registered metric"
    assert metric.tagged == (metric.name != name), f"{name}: a tag belongs to tagged metrics, and only to them"
    return metric


def metric_of(name: str) -> Metric | None:
    """Return the metric that a name belongs to, None when there is none; one of a task with a number of its own too.

    >>> metric_of("test_top_7").name, metric_of("test_top_0"), metric_of("probe_variance.fedvarp").tagged
    ('test_top_7', None, True)
    """
    base = name.split(".", 1)[0]
    if base not in METRICS and base.startswith("test_") and (metric := named(base.removeprefix("test_"))):
        know(metric)
    elif base not in METRICS and (parts := _OF_CLIENTS.fullmatch(base)) and (metric := named(parts[1])):
        know_of_clients(metric)
    return METRICS.get(base)


def of_tasks(names: Iterable[str]) -> list[str]:
    """Return those names that a task's metrics have, but for accuracy, by name, then what is first told of clients.

    >>> of_tasks(["test_r2", "test_accuracy", "client_r2_mean", "client_r2_q10", "test_loss", "test_mse"])
    ['test_mse', 'test_r2', 'client_r2_mean']
    """
    names = {*names}
    found = {name for name in names if name.startswith("test_") and name != "test_accuracy"}
    told = sorted(name for name in found if (metric := metric_of(name)) is not None and metric.when == ("task",))
    wanted = {name for name in names if name.startswith(_CLIENTS) and name.endswith(("_mean", "_worst_decile"))}
    return told + sorted(
        name for name in wanted if (metric := metric_of(name)) is not None and metric.when in (("own",), ("personal",))
    )


def know(metric: TaskMetric) -> Metric:
    """Register a metric of a task, unless it is registered; return it as a run reports it."""
    found = of_task(metric)
    return METRICS.get(found.name) or register(found)


def know_of_clients(metric: TaskMetric) -> tuple[Metric, ...]:
    """Register what a task's metric comes to over clients, unless it is registered; return it."""
    return tuple(METRICS.get(found.name) or register(found) for found in of_clients(metric))


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
    metric = metric_of(name)
    return (-inf, inf) if metric is None else (-inf if metric.signed else 0.0, metric.most)


def out_of_reach(name: str, target: float) -> str | None:
    """Return why a metric can never have a value, None when it can.

    >>> out_of_reach("test_accuracy", 90)
    'test_accuracy is a share, between 0 and 1: it never reaches 90'
    >>> out_of_reach("test_loss", -1)
    'test_loss is never below 0: it never reaches -1'
    >>> out_of_reach("test_accuracy", 0.9)
    """
    low, high = bounds(name)
    if (low, high) == (0, 1) and not low <= target <= high:
        return f"{name} is a share, between 0 and 1: it never reaches {target:g}"
    if target > high:
        return f"{name} is never above {high:g}: it never reaches {target:g}"
    if target < low:
        return f"{name} is never below 0: it never reaches {target:g}"
    return None


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
    return _in_order(name for name in METRICS if name in wanted)


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return registered names with those that a task brought last, by name: which came first depends on the process."""
    return tuple(sorted(names, key=lambda name: "" if name in _COLLECTED else name))


def appearing(facts: Iterable[Fact], told: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the metrics that a run of this kind reports, without tagged ones; `told` are those its strategy tells.

    >>> "num_late" in appearing(["server"]), "num_late" in appearing(["server", "clock"])
    (False, True)
    """
    held, by_name = set(facts), set(told)
    return _in_order(
        name
        for name, metric in METRICS.items()
        if not metric.tagged and (held.issuperset(metric.when) or name in by_name)
    )


def higher_is_better(name: str) -> bool:
    """Return whether more of a metric is better; of what is not registered, as in a store of another version, less is.

    >>> higher_is_better("test_accuracy"), higher_is_better("node_accuracy_std"), higher_is_better("test_loss")
    (True, False, False)
    """
    metric = metric_of(name)
    return metric is not None and metric.better == "higher"


def collect() -> None:
    """Register what the files of the room `measured` hold."""
    METRICS.clear()
    _COLLECTED.clear()
    found = [module.name for module in iter_modules(measured.__path__)]
    for name in sorted(found, key=lambda name: (SUBJECTS.index(name) if name in SUBJECTS else len(SUBJECTS), name)):
        for metric in import_module(f"{measured.__name__}.{name}").METRICS:
            register(metric)
    _COLLECTED.update(METRICS)


collect()
