"""Where `evaluate.clients` has a meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedsim.core.client_work import OwnWork
from fedsim.metrics.registry import metric_of

Found = Iterator[tuple[tuple[str, ...], str]]
KEY = ("evaluate", "clients")


def clients_have_examples(evaluate: Any, data: Any) -> Found:
    """Clients are judged on examples, and there are as many clients as are wanted."""
    if evaluate.clients is None:
        return
    if data.dataset == "quadratic":
        yield KEY, "quadratic has no examples on which clients could be judged; test_loss is the objective itself"
    elif isinstance(evaluate.clients, int) and data.num_clients is not None and evaluate.clients > data.num_clients:
        yield KEY, f"there are {data.num_clients} clients, got {evaluate.clients}; `all` takes all of them"


def there_is_a_global_model(evaluate: Any, strategy: Any) -> Found:
    """In gossip nodes have models of their own."""
    if evaluate.clients is not None and strategy.name == "gossip":
        yield KEY, "gossip has no global model; its nodes' own models are judged as node_accuracy_mean and so on"


def there_is_a_metric(evaluate: Any, task: Any) -> Found:
    """Clients are judged by the task's first metric."""
    if evaluate.clients is not None and task is not None and task.metrics == ():
        yield KEY, "judges by the first of task.metrics, which is empty"


def models_are_whole(evaluate: Any, model: Any) -> Found:
    """The driver has the model that a client would use."""
    if evaluate.clients is not None and getattr(model, "buffers", None) == "local":
        text = "with model.buffers: local each client's buffers stay where it trains, so that no model of its is whole"
        yield KEY, text


def local_work_is_ours(evaluate: Any, client: Any) -> Found:
    """An app reads its own examples; foreign work counts no epochs of ours."""
    if evaluate.clients is None:
        return
    if client.app is not None:
        yield KEY, "a Flower app reads its own training examples, so that those of `data` are not its clients'"
    elif evaluate.personal_epochs is not None and not isinstance(client.work, OwnWork):
        text = "client.work trains by code of your own, which counts its epochs itself"
        yield ("evaluate", "personal_epochs"), text


def what_ends_a_run_is_judged(evaluate: Any, stop: Any) -> Found:
    """A metric over clients is one that is asked for."""
    metric = None if stop is None or stop.metric is None else metric_of(stop.metric)
    for fact, key in (("own", "clients"), ("deciles", "clients"), ("personal", "personal_epochs")):
        if metric is not None and metric.when == (fact,) and getattr(evaluate, key) is None:
            yield ("stop", "metric"), f"{stop.metric} is never measured in this run: give `evaluate.{key}`"


CHECKS = (
    clients_have_examples,
    there_is_a_global_model,
    there_is_a_metric,
    models_are_whole,
    local_work_is_ours,
    what_ends_a_run_is_judged,
)
"""All of them."""
