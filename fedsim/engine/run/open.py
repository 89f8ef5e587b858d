"""Where a run takes place: the grid that the scenario asks for, opened and closed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedsim.core import PeerRule
from fedsim.engine.experiment import Experiment
from fedsim.engine.nodes.grid import NodeGrid
from fedsim.engine.round.rounds import Rounds
from fedsim.engine.run.capacity import check_memory
from fedsim.engine.run.choosing import choose, cores_here
from fedsim.participation.environment import Environment
from fedsim.scenario import Auto, Flower, Processes, Ray, Scenario, Serial
from fedsim.scenario.sections import DEFAULT_HOSTS

if TYPE_CHECKING:
    from flwr.serverapp import Grid as FlowerGrid

    from fedsim.engine.processes.zygote import Zygote
    from fedsim.engine.ray.session import RaySession

log = logging.getLogger(__name__)


def started_ahead(scenario: Scenario) -> AbstractContextManager[Zygote | None]:
    """Start the parent of a run's host processes, where it will have some, while the driver reads its data."""
    if not isinstance(scenario.engine, Processes):
        return nullcontext()
    from fedsim.engine.processes.zygote import Zygote

    return Zygote()


@contextmanager
def open_grid(
    experiment: Experiment,
    folder: Path,
    ray: RaySession | None = None,
    notice: Callable[..., None] | None = None,
    flower: FlowerGrid | None = None,
    zygote: Zygote | None = None,
) -> Iterator[NodeGrid]:
    """Open the grid that the scenario asks for, and close it on the way out. `folder` is the run's.

    A Ray grid opens its hosts in the session `ray`, which stays open; without one it has a session of its own.
    `flower` is the grid of a Flower app that this run is part of, `zygote` the parent of host processes, started ahead.
    `notice` is told what is being waited for, and of hosts that are lost.
    """
    check_memory(experiment, folder)
    engine, why = experiment.scenario.engine, ""
    if isinstance(engine, Auto):
        engine, why = choose(experiment, engine)
        log.info("engine: %s", why)
    with _open(experiment, engine, folder, ray, notice, flower, zygote) as grid:
        grid.chosen = why
        yield grid


@contextmanager
def _open(
    experiment: Experiment,
    engine: Serial | Processes | Ray | Flower,
    folder: Path,
    ray: RaySession | None,
    notice: Callable[..., None] | None,
    flower: FlowerGrid | None,
    zygote: Zygote | None,
) -> Iterator[NodeGrid]:
    memory_folder = None
    if experiment.memories and experiment.scenario.memory.tier == "disk":
        memory_folder = folder.absolute() / "memory"
        memory_folder.mkdir(exist_ok=True)
    if isinstance(engine, Serial):
        from fedsim.engine.gossip.serial_grid import PeerSerialGrid
        from fedsim.engine.nodes.serial import SerialGrid

        plan = experiment.host_plan(memory_folder=memory_folder)
        yield (SerialGrid if plan.peers is None else PeerSerialGrid)(plan, experiment.data, experiment.num_nodes)
        return
    if isinstance(engine, Processes):
        with _open_processes(experiment, engine, memory_folder, zygote, notice) as processes:
            yield processes
        return
    if engine.kind == "flower":
        from fedsim.engine.flower.simulation import open_flower

        with open_flower(experiment, folder, flower, notice) as behind:
            yield behind
        return
    assert isinstance(engine, Ray), f"no grid for engine {engine.kind}"
    from fedsim.engine.ray.session import session

    asked = engine.hosts or min(DEFAULT_HOSTS, experiment.num_nodes)
    plan = experiment.host_plan("cuda" if engine.gpus_per_host > 0 else "cpu", memory_folder)
    cores = 1 if asked == "auto" else min(asked, experiment.num_nodes)
    with nullcontext(ray) if ray is not None else session(engine.address, cores, log=folder / "ray.log"):
        from fedsim.engine.gossip.ray_grid import RayPeerGrid
        from fedsim.engine.ray.cluster import count_hosts
        from fedsim.engine.ray.grid import RayGrid

        grid = (RayGrid if plan.peers is None else RayPeerGrid)(
            plan,
            experiment.data,
            experiment.node_costs(),
            count_hosts(
                asked,
                experiment.num_nodes - sum(len(kind.nodes) for kind in engine.classes),
                engine.gpus_per_host,
                engine.resources,
                classes=engine.classes,
                capacity_s=engine.capacity_timeout_s,
                notice=notice,
            ),
            gpus_per_host=engine.gpus_per_host,
            resources=engine.resources,
            classes=engine.classes,
            capacity_s=engine.capacity_timeout_s,
            notice=notice,
            stateful=experiment.keeps or plan.peers is not None,
            predict=experiment.cost,
        )
        try:
            yield grid
        finally:
            grid.close()


@contextmanager
def _open_processes(
    experiment: Experiment,
    engine: Processes,
    memory_folder: Path | None,
    zygote: Zygote | None,
    notice: Callable[..., None] | None,
) -> Iterator[NodeGrid]:
    from fedsim.engine.gossip.process_grid import PeerProcessGrid
    from fedsim.engine.processes.grid import ProcessGrid
    from fedsim.engine.processes.zygote import Zygote

    plan = experiment.host_plan(memory_folder=memory_folder)
    asked = engine.hosts or DEFAULT_HOSTS
    with nullcontext(zygote) if zygote is not None else Zygote() as parent:
        grid = (ProcessGrid if plan.peers is None else PeerProcessGrid)(
            plan,
            experiment.data,
            experiment.node_costs(),
            min(experiment.num_nodes, cores_here() if asked == "auto" else asked),
            parent,
            notice=notice,
            stateful=experiment.keeps or plan.peers is not None,
            predict=experiment.cost,
        )
        try:
            yield grid
        finally:
            grid.close()


def open_loop(experiment: Experiment, environment: Environment, overlap: Executor | None, **common: Any) -> Rounds:
    """Return the loop of a scenario's strategy.

    Parameters
    ----------
    overlap : a thread for evaluations while the next round trains, used where the driver evaluates.
    common : what every loop needs; see `Rounds`.
    """
    if isinstance(experiment.scenario.strategy, PeerRule):
        from fedsim.engine.gossip.loop import GossipLoop

        peers = experiment.peers(environment)
        return GossipLoop(experiment=experiment, environment=environment, strategy=peers, **common)
    from fedsim.engine.round.server_loop import Loop

    return Loop(
        experiment=experiment,
        environment=environment,
        strategy=experiment.strategy(environment),
        prober=experiment.prober(),
        overlap=overlap,
        **common,
    )
