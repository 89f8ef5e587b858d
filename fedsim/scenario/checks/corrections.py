"""What a correction of clients' drift asks of the other sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedsim.core import Rule
from fedsim.core.correction import Setting

Found = Iterator[tuple[tuple[str, ...], str]]


def correction_fits(strategy: Any, client: Any, participation: Any, memory: Any) -> Found:
    """A correction has a meaning beside the rule, the local work and the participation."""
    correction = strategy.corrected_by() if isinstance(strategy, Rule) else None
    if correction is None:
        return
    if client.app is not None or client.work.name != "sgd":
        text = "the method goes into every gradient, and foreign work takes its own steps; leave it out"
        yield ("strategy", "correction"), text
    for key, message in correction.problems_in(Setting(strategy, client, participation, memory)):
        yield tuple(key.split(".")), message


def compared_corrections_fit(compare: Any, client: Any, participation: Any, memory: Any) -> Found:
    """So have those of the strategies under `compare:`."""
    for number, strategy in enumerate(compare or ()):
        for key, message in correction_fits(strategy, client, participation, memory):
            yield (("compare", str(number), *key[1:]) if key[0] == "strategy" else key), message


def information_is_known(strategy: Any, task: Any, client: Any) -> Found:
    """Fisher information is that of what a model says of its targets, by a loss that is a likelihood."""
    if not getattr(strategy, "informed", False):
        return
    loss = None if task is None else task.loss
    if loss is not None and not loss.informs:
        text = f"{strategy.name} weighs by how sure a model is of its answers, which {loss.kind} does not say"
        yield ("task", "loss"), f"{text}; cross_entropy, mse and bce do"
    if client.app is not None:
        yield ("client", "app"), f"an app reads its own examples, and {strategy.name} looks at those of each client"


def compared_information_is_known(compare: Any, task: Any, client: Any) -> Found:
    """So is that of the strategies under `compare:`."""
    for number, strategy in enumerate(compare or ()):
        for _, message in information_is_known(strategy, task, client):
            yield ("compare", str(number), "name"), message


CHECKS = (correction_fits, compared_corrections_fit, information_is_known, compared_information_is_known)
