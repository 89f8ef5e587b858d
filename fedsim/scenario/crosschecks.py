"""What sections of a scenario must agree on. One small function a check; a check runs when its sections are valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any

import numpy as np

from fedsim.core import ScenarioError, World
from fedsim.scenario.sections import DEFAULT_NODES

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


def _asked(section: str, config: Any, surroundings: Any) -> Found:
    """Ask a config what does not fit its surroundings; it may look at files."""
    try:
        found = list(config.problems_in(surroundings))
    except (OSError, ValueError, ScenarioError) as error:
        found = [("", f"cannot be checked: {getattr(error, 'strerror', None) or error}")]
    yield from ((_keys(section, key), message) for key, message in found)


def data_files(data: Any, folder: str) -> Found:
    """The files a dataset names are there."""
    if hasattr(data, "problems_in"):
        yield from _asked("data", data, folder)


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
        yield from _asked("participation", participation, World(0, data.num_clients, folder=folder))


def listed_probabilities_fit(data: Any, strategy: Any) -> Found:
    """`strategy.probabilities` as a list has one entry per client."""
    listed = getattr(strategy, "probabilities", None)
    if isinstance(listed, tuple) and data.num_clients not in (None, len(listed)):
        yield ("strategy", "probabilities"), f"has {len(listed)} entries for {data.num_clients} clients"


def known_probabilities_are_known(data: Any, participation: Any, strategy: Any, folder: str) -> Found:
    """A rule that divides by the process's own p_i needs a process that knows them."""
    if strategy.needs_probabilities() and _cannot_tell(data, participation, folder):
        advice = "give a list with one probability per client, or `probabilities: estimated`"
        text = (
            f"{strategy.name} divides by each client's probability, and {participation.kind} does not know it; {advice}"
        )
        yield ("strategy", "probabilities"), text


def _cannot_tell(data: Any, participation: Any, folder: str) -> bool:
    count = data.num_clients
    if count is None:
        return participation.kind in ("schedule", "trace")
    # the labels are not there yet; whether p_i is known does not depend on them
    world = World(seed=0, num_clients=count, label_counts=lambda: np.ones((count, 2), np.int64), folder=folder)
    if any(True for _ in _asked("participation", participation, world)):
        return False
    try:
        return participation.process(world).probabilities is None
    except ScenarioError:  # it says so itself when the run is put together
        return False


def compared_strategies_fit(compare: Any, data: Any, participation: Any, folder: str) -> Found:
    """Every strategy under `compare:` meets the same conditions as the one under `strategy:`."""
    for number, strategy in enumerate(compare or ()):
        found = (
            *listed_probabilities_fit(data, strategy),
            *known_probabilities_are_known(data, participation, strategy, folder),
        )
        yield from ((("compare", str(number), *path[1:]), message) for path, message in found)


def nodes_hold_clients(data: Any, engine: Any) -> Found:
    """There are no more nodes than clients."""
    if engine.nodes is not None and data.num_clients is not None and engine.nodes > data.num_clients:
        yield ("engine", "nodes"), f"a node holds at least one client: at most {data.num_clients}, got {engine.nodes}"


def hosts_run_nodes(data: Any, engine: Any) -> Found:
    """There are no more hosts than nodes, also where the number of nodes is the default."""
    hosts = getattr(engine, "hosts", None)
    if isinstance(hosts, int) and engine.nodes is None and data.num_clients is not None:
        nodes = min(DEFAULT_NODES, data.num_clients)
        if hosts > nodes:
            text = f"a host runs at least one node: nodes is {nodes} by default, got {hosts} hosts; give nodes too"
            yield ("engine", "hosts"), text


def flower_has_a_server_model(engine: Any, strategy: Any) -> Found:
    """Flower's own engine has no channel between nodes."""
    if engine.kind == "flower" and strategy.name == "gossip":
        text = "Flower's engine sends models to the server only, gossip sends them between nodes; use serial or ray"
        yield ("engine", "kind"), text


CHECKS: tuple[Check, ...] = (
    data_files,
    quadratic_needs_point,
    point_needs_quadratic,
    point_has_the_dimension,
    starts_are_for_gossip,
    participation_fits_population,
    listed_probabilities_fit,
    known_probabilities_are_known,
    compared_strategies_fit,
    nodes_hold_clients,
    hosts_run_nodes,
    flower_has_a_server_model,
)
