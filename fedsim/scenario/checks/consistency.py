"""What sections of a scenario must agree on. One small function a check; a check runs when its sections are valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import Rule, ScenarioError, World
from fedsim.participation import Participation
from fedsim.participation.processes.uniform import Uniform
from fedsim.participation.select import Select
from fedsim.scenario.checks import (
    coins,
    corrections,
    foreign,
    local_work,
    model_values,
    noise,
    own_evaluation,
    server_rate,
    uplink,
)
from fedsim.scenario.checks.float32 import unfit
from fedsim.scenario.checks.goals import stop_looks_at_a_metric
from fedsim.scenario.sections import DEFAULT_NODES

MAX_CLIENTS = 100_000_000
"""A schedule row of one bit a client is 12 MB here; beyond it nothing would be checked in reasonable time."""

Found = Iterator[tuple[tuple[str, ...], str]]
Check = Callable[..., Found]


def cross_problems(sections: Mapping[str, Any]) -> Found:
    """Yield (keys, message) of every check whose sections are all valid; one is about its first, and that is given."""
    data = sections.get("data")
    if data is not None and (data.num_clients or 0) > MAX_CLIENTS:
        yield ("data", "clients"), f"must be at most {MAX_CLIENTS:,}, got {data.num_clients:,}"
        return
    for check in CHECKS:
        names = list(signature(check).parameters)
        if all(name in sections for name in names) and sections[names[0]] is not None:
            yield from check(*(sections[name] for name in names))


def _is_quadratic(data: Any) -> bool:
    return bool(data.dataset == "quadratic")


def _keys(section: str, key: str) -> tuple[str, ...]:
    return (section, *(part for part in key.split(".") if part))


def _asked(section: str, config: Any, surroundings: Any, ask: Callable[[Any], Any] | None = None) -> Found:
    """Ask a config what does not fit its surroundings; it may look at files."""
    try:
        found = list((ask or config.problems_in)(surroundings))
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
        world = World(0, data.num_clients, folder=folder)
        yield from _asked("participation", participation, world, participation.misfits)


def listed_probabilities_fit(data: Any, strategy: Any) -> Found:
    """`strategy.probabilities` as a list has one entry per client."""
    listed = getattr(strategy, "probabilities", None)
    if isinstance(listed, tuple) and data.num_clients not in (None, len(listed)):
        yield ("strategy", "probabilities"), f"has {len(listed)} entries for {data.num_clients} clients"


def devices_fit_population(data: Any, participation: Any, devices: Any, folder: str) -> Found:
    """Speeds are there for every client, and there are enough clients to invite."""
    if devices is None or data.num_clients is None:
        return
    yield from _asked("devices", devices, World(0, data.num_clients, folder=folder))
    picked = participation.select if isinstance(participation.select, Select) else participation
    size = picked.size if isinstance(picked, Select | Uniform) else 0
    if size * devices.invite > data.num_clients:
        text = f"invites {devices.invite:g} x {size} clients, but there are {data.num_clients}"
        yield ("devices", "invite"), text


def known_probabilities_are_known(data: Any, participation: Any, devices: Any, strategy: Any, folder: str) -> Found:
    """A rule that divides by the process's own p_i needs a process that knows them."""
    if not strategy.needs_probabilities():
        return
    if devices is not None and (devices.deadline_s is not None or devices.invite > 1):
        whose = "who replies in time also depends on the devices"
    elif _cannot_tell(data, participation, folder):
        whose = f"participation of kind {participation.kind} does not know it here"
    else:
        return
    advice = "give a list with one probability per client, or `probabilities: estimated`"
    text = f"{strategy.name} divides by each client's probability, and {whose}; {advice}"
    yield ("strategy", "probabilities"), text


def _cannot_tell(data: Any, participation: Any, folder: str) -> bool:
    count = data.num_clients
    if count is None or participation.kind in ("schedule", "trace"):
        return participation.kind in ("schedule", "trace")
    # whether p_i is known depends neither on labels, which are not there yet, nor on N, unless something lists clients
    for size in (min(count, 1000), count):
        world = World(0, size, partial(_any_labels, size), folder)
        if not any(True for _ in _asked("participation", participation, world, participation.misfits)):
            return _process(participation, world) is None
    return False


def _any_labels(num_clients: int) -> npt.NDArray[np.int64]:
    return np.ones((num_clients, 2), np.int64)


def _process(participation: Any, world: World) -> Any:
    try:
        return participation.process(world).probabilities
    except ScenarioError:  # a problem of its own, told when the run is put together
        return ()


def strategy_fits_population(data: Any, strategy: Any, folder: str) -> Found:
    """A graph has as many places as there are clients."""
    if data.num_clients is not None and hasattr(strategy, "problems_in"):
        yield from _asked("strategy", strategy, World(0, data.num_clients, folder=folder))


def probe_takes_a_rule_apart(probe: Any, strategy: Any) -> Found:
    """The probe reads the coefficients of a rule of fedsim's own, with a server model."""
    if probe is not None and not isinstance(strategy, Rule):
        yield (
            ("probe",),
            f"measures a server's update from its coefficients, and {strategy.name} has none; leave it out",
        )


def compared_strategies_fit(compare: Any, data: Any, participation: Any, devices: Any, folder: str) -> Found:
    """Every strategy under `compare:` meets the same conditions as the one under `strategy:`."""
    for number, strategy in enumerate(compare or ()):
        found = (
            *listed_probabilities_fit(data, strategy),
            *known_probabilities_are_known(data, participation, devices, strategy, folder),
            *strategy_fits_population(data, strategy, folder),
        )
        yield from ((("compare", str(number), *path[1:]), message) for path, message in found)


def probe_can_draw_again(probe: Any, participation: Any) -> Found:
    """A probe re-draws the cohort of a round; what is written down cannot be drawn again."""
    fixed = [part.kind for part in _parts(participation) if part.kind in ("schedule", "trace")]
    if probe is not None and fixed:
        yield ("probe",), f"re-draws cohorts, and a {fixed[0]} is written down; use a random kind of participation"


def _parts(config: Any) -> Iterator[Participation]:
    """Yield a process and those inside it."""
    if isinstance(config, Participation):
        yield config
    inner = config if isinstance(config, list | tuple) else vars(config).values() if is_dataclass(config) else ()
    for value in inner:
        yield from _parts(value)


IMAGE_SIDES = {"digits": 8, "cifar": 32}
"""Sides of the images of datasets that always have the same."""


def model_takes_the_examples(data: Any, model: Any) -> Found:
    """A convolutional model needs images, large enough; what only a file knows is checked when it is read."""
    if not model.convolves:
        return
    smallest = model.smallest_side
    side = IMAGE_SIDES.get(data.dataset)
    if data.dataset in ("synthetic", "quadratic"):
        yield ("model", "name"), f"{model.name} needs images, and {data.dataset} has none; use linear or mlp"
    elif side is not None and side < smallest:
        text = f"{model.name} as given needs images of at least {smallest}x{smallest}, {data.dataset} has {side}x{side}"
        yield ("model", "name"), text


def images_have_their_channels_first(data: Any, model: Any, folder: str) -> Found:
    """What looks like images with channels last would be convolved as many channels of thin images."""
    if model.convolves and hasattr(data, "image_problems_in"):
        yield from ((_keys("data", key), message) for key, message in data.image_problems_in(folder))


def rates_fit_float32(client: Any, strategy: Any) -> Found:
    """Training computes in float32: a rate that it cannot hold would be zero, or infinite, in every client."""
    for section, config in (("client", client), ("strategy", strategy)):
        yield from (((section, *keys), message) for keys, message in unfit(config))


def compared_rates_fit_float32(compare: Any) -> Found:
    """So do the rates of the strategies under `compare:`."""
    yield from ((("compare", *keys), message) for keys, message in unfit(compare or ()))


def starts_and_data_fit_float32(data: Any, model: Any) -> Found:
    """Starting points, the centers of quadratic and what features are divided by are float32, too."""
    for name in ("divide_by", "centers"):
        yield from ((("data", *keys), message) for keys, message in unfit(getattr(data, name, None), (name,)))
    yield from ((("model", *keys), message) for keys, message in unfit(getattr(model, "init", None), ("init",)))


def labels_for_the_law(data: Any, participation: Any) -> Found:
    """Participation that follows labels needs labels."""
    laws = (getattr(getattr(part, "probabilities", None), "law", None) for part in _parts(participation))
    if _is_quadratic(data) and "label_dirichlet" in laws:
        yield ("participation", "probabilities"), "label_dirichlet needs a dataset with labels, and quadratic has none"


def probe_knows_who_comes(probe: Any, devices: Any) -> Found:
    """A probe draws from the process itself."""
    if probe is not None and devices is not None and (devices.deadline_s is not None or devices.invite > 1):
        yield (
            ("probe",),
            "with devices.deadline_s or devices.invite the cohort's law is not the process's own; leave it out",
        )


def stop_looks_at_what_is_measured(stop: Any, data: Any, strategy: Any, devices: Any) -> Found:
    """What ends a run is something that this run measures."""
    if stop is None:
        return
    quadratic, gossip = _is_quadratic(data), strategy.name == "gossip"
    instead = None
    if stop.metric == "distance" and not quadratic:
        instead = "only quadratic has a known optimum; test_loss is measured"
    elif stop.metric is not None and "accuracy" in stop.metric and quadratic:
        instead = "quadratic has no labels; test_loss and distance are measured"
    elif stop.metric is not None and stop.metric.startswith("node_") and not gossip:
        instead = "only gossip has models of nodes; test_loss and test_accuracy are measured"
    if instead is not None:
        yield ("stop", "metric"), f"{stop.metric} is never measured in this run: {instead}"
    if stop.max_virtual_s is not None and devices is None:
        yield ("stop", "max_virtual_s"), "without `devices:` the virtual clock stands still, and never comes so far"


def nodes_hold_clients(data: Any, engine: Any) -> Found:
    """There are no more nodes than clients."""
    if engine.nodes is not None and data.num_clients is not None and engine.nodes > data.num_clients:
        yield ("engine", "nodes"), f"a node holds at least one client: at most {data.num_clients}, got {engine.nodes}"


def hosts_run_nodes(data: Any, engine: Any) -> Found:
    """There are no more hosts than nodes, also where the number of nodes is the default."""
    hosts = getattr(engine, "hosts", None)
    if isinstance(hosts, int) and engine.nodes is None and data.num_clients is not None:
        nodes = _nodes(engine, data.num_clients)
        if hosts > nodes:
            text = f"a host runs at least one node: nodes is {nodes} by default, got {hosts} hosts; give nodes too"
            yield ("engine", "hosts"), text


def _nodes(engine: Any, num_clients: int) -> int:
    return engine.nodes or min(DEFAULT_NODES, num_clients)


def flower_has_a_server_model(engine: Any, strategy: Any) -> Found:
    """Flower's own engine has no channel between nodes."""
    if engine.kind == "flower" and strategy.name == "gossip":
        text = "Flower's engine sends models to the server only, gossip sends them between nodes; use serial or ray"
        yield ("engine", "kind"), text


def flower_keeps_memories_itself(engine: Any, memory: Any) -> Found:
    """Flower carries memories in its own contexts."""
    if engine.kind == "flower" and memory.tier == "disk":
        yield ("memory", "tier"), "Flower keeps memories in Context.state, in memory; use ram, or engine serial or ray"


def flower_has_no_probe(engine: Any, probe: Any) -> Found:
    """The probe speaks to nodes in a way that Flower's messages do not carry."""
    if engine.kind == "flower" and probe is not None:
        yield ("probe",), "asks nodes for what Flower's engine does not carry; use serial or ray, the bits are the same"


def stock_has_one_client_a_node(data: Any, engine: Any, strategy: Any) -> Found:
    """Flower's own strategies speak to single clients."""
    count = data.num_clients
    if strategy.name == "stock" and count is not None and _nodes(engine, count) != count:
        given = _nodes(engine, count)
        text = f"a stock Flower strategy needs one client per node: write nodes: {count}, got {given}"
        yield ("engine", "nodes"), text


def stock_runs_on_our_grids(engine: Any, strategy: Any) -> Found:
    """Under Flower's own engine the bits of a stock strategy have not been shown to be ours."""
    if engine.kind == "flower" and strategy.name == "stock":
        yield ("engine", "kind"), "a stock strategy runs on serial and ray, where its bits repeat; use one of them"


def stock_keeps_its_state(strategy: Any, checkpoint: Any) -> Found:
    """Flower's own strategies cannot be saved."""
    if strategy.name == "stock" and checkpoint is not None:
        yield ("checkpoint",), "a stock Flower strategy keeps its state to itself and cannot be saved; leave it out"


def stock_sends_its_own_mu(strategy: Any, client: Any) -> Found:
    """FedProx tells clients its mu with every message; the section of the clients would be passed over."""
    sent = strategy.proximal_mu if strategy.name == "stock" else None
    if sent is not None and client.proximal_mu not in (0.0, sent):
        text = f"FedProx sends clients its own, {sent:g}; write strategy.options.proximal_mu, and leave this out"
        yield ("client", "proximal_mu"), text


CHECKS: tuple[Check, ...] = (
    data_files,
    quadratic_needs_point,
    point_needs_quadratic,
    point_has_the_dimension,
    starts_are_for_gossip,
    participation_fits_population,
    listed_probabilities_fit,
    devices_fit_population,
    known_probabilities_are_known,
    strategy_fits_population,
    *coins.CHECKS,
    probe_takes_a_rule_apart,
    compared_strategies_fit,
    probe_can_draw_again,
    model_takes_the_examples,
    images_have_their_channels_first,
    rates_fit_float32,
    compared_rates_fit_float32,
    starts_and_data_fit_float32,
    *local_work.CHECKS,
    *model_values.CHECKS,
    *own_evaluation.CHECKS,
    *server_rate.CHECKS,
    labels_for_the_law,
    probe_knows_who_comes,
    stop_looks_at_a_metric,
    stop_looks_at_what_is_measured,
    nodes_hold_clients,
    hosts_run_nodes,
    flower_has_a_server_model,
    flower_keeps_memories_itself,
    flower_has_no_probe,
    stock_has_one_client_a_node,
    stock_keeps_its_state,
    stock_sends_its_own_mu,
    stock_runs_on_our_grids,
    *foreign.CHECKS,
    *corrections.CHECKS,
    *uplink.CHECKS,
    *noise.CHECKS,
)
