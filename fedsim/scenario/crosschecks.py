"""What sections of a scenario must agree on. One small function a check; a check runs when its sections are valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any

from fedsim.core import World

Found = Iterator[tuple[tuple[str, ...], str]]
Check = Callable[..., Found]


def cross_problems(sections: Mapping[str, Any]) -> Found:
    """Yield (keys, message) of every check whose sections are all there."""
    for check in CHECKS:
        names = list(signature(check).parameters)
        if all(name in sections for name in names):
            yield from check(*(sections[name] for name in names))


def _is_quadratic(data: Any) -> bool:
    return bool(data.dataset == "quadratic")


def _keys(section: str, key: str) -> tuple[str, ...]:
    return (section, *(part for part in key.split(".") if part))


def data_files(data: Any, folder: str) -> Found:
    """The files a dataset names are there."""
    if hasattr(data, "problems_in"):
        yield from ((_keys("data", key), message) for key, message in data.problems_in(folder))


def quadratic_needs_point(data: Any, model: Any) -> Found:
    """`dataset: quadratic` trains `model: point`."""
    if _is_quadratic(data) and model.name != "point":
        yield ("model", "name"), f"dataset quadratic is for the model point, got {model.name}"


def point_needs_quadratic(data: Any, model: Any) -> Found:
    """`model: point` has no other data."""
    if model.name == "point" and not _is_quadratic(data):
        yield ("model", "name"), f"the model point is for the dataset quadratic, got {data.dataset}"


def point_has_the_dimension(data: Any, model: Any) -> Found:
    """A starting point has as many numbers as a center."""
    if _is_quadratic(data) and model.name == "point":
        wanted, given = len(data.centers[0]), len(model.starts[0])
        if wanted != given:
            yield ("model", "init"), f"has {given} numbers, but each center has {wanted}"


def starts_are_for_gossip(data: Any, model: Any, strategy: Any) -> Found:
    """One start per node is for gossip, one for each client."""
    if model.name != "point" or not model.per_node:
        return
    if strategy.name != "gossip":
        yield ("model", "init"), f"one start per node is for gossip; {strategy.name} takes one list of numbers"
    elif data.num_clients is not None and len(model.starts) != data.num_clients:
        yield ("model", "init"), f"give one start per client ({data.num_clients}), got {len(model.starts)}"


def participation_fits_population(data: Any, participation: Any, folder: str) -> Found:
    """Cohort ids, list lengths and sizes fit the number of clients."""
    if data.num_clients is not None:
        world = World(seed=0, num_clients=data.num_clients, folder=folder)
        yield from ((_keys("participation", key), text) for key, text in participation.problems_in(world))


def listed_probabilities_fit(data: Any, strategy: Any) -> Found:
    """`strategy.probabilities` as a list has one entry per client."""
    listed = getattr(strategy, "probabilities", None)
    if isinstance(listed, tuple) and data.num_clients not in (None, len(listed)):
        yield ("strategy", "probabilities"), f"has {len(listed)} entries for {data.num_clients} clients"


CHECKS: tuple[Check, ...] = (
    data_files,
    quadratic_needs_point,
    point_needs_quadratic,
    point_has_the_dimension,
    starts_are_for_gossip,
    participation_fits_population,
    listed_probabilities_fit,
)
