"""Flower's own simulation engine, kept running beside a run: a ServerApp that lends its grid and waits."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedsim.core import ClusterLostError
from fedsim.core.system.signals import listener
from fedsim.engine.experiment import Experiment
from fedsim.engine.flower.client_app import NodeApp, StoredHost
from fedsim.engine.flower.grid import FlowerGrid
from fedsim.engine.nodes.host import HostPlan
from fedsim.engine.ray.session import no_collection, session

STARTING_S = 60.0
"""How long Flower may take to start its actors."""


@dataclass
class Simulation:
    """A running simulation: its grid, and how it ended if it has."""

    link: Grid
    thread: threading.Thread
    failure: list[BaseException]

    def check(self) -> None:
        """Raise when the simulation has ended by itself."""
        if not self.thread.is_alive():
            raise ClusterLostError(f"Flower's simulation ended: {_reason(self.failure)}")


@contextmanager
def open_flower(
    experiment: Experiment, folder: Path, link: Grid | None, notice: Callable[..., None] | None
) -> Iterator[FlowerGrid]:
    """Open a run's nodes behind Flower's grid `link`, or, without one, behind a simulation of Flower's own."""
    num_nodes, stateful = experiment.num_nodes, experiment.keeps
    training = experiment.trainer.describe()
    if link is not None:
        yield FlowerGrid(link, num_nodes, stateful=stateful, notice=notice, training=training, inputs=experiment.inputs)
        return
    with simulation(experiment.host_plan(), experiment.data, num_nodes, folder / "ray.log") as running:
        yield FlowerGrid(
            running.link, num_nodes, stateful=stateful, check=running.check, notice=notice, training=training
        )


@contextmanager
def simulation(plan: HostPlan, data: Any, num_nodes: int, log: Path) -> Iterator[Simulation]:
    """Run Flower's simulation over `num_nodes` SuperNodes while the block runs, in a Ray session of its own.

    Raises
    ------
    ClusterLostError : it did not come up.
    """
    with _quiet(), session("local", min(num_nodes, os.cpu_count() or 1), log=log):
        import ray
        from flwr.simulation import run_simulation

        lent: Queue[Grid] = Queue()
        done = threading.Event()
        failure: list[BaseException] = []
        server = ServerApp()

        @server.main()
        def lend(grid: Grid, context: Context) -> None:
            lent.put(grid)
            done.wait()

        client = NodeApp(StoredHost(ray.put(plan), ray.put(data), num_nodes))

        def work() -> None:
            try:
                run_simulation(server, client, num_nodes, backend_config={"client_resources": {"num_cpus": 1}})
            except BaseException as error:  # carried over to the run's own thread
                failure.append(error)

        thread = threading.Thread(target=work, name="flower-simulation", daemon=True)
        thread.start()
        try:
            yield Simulation(_borrow(lent, thread, failure), thread, failure)
        finally:
            with listener().shielded(), no_collection():
                done.set()
                thread.join()


def _borrow(lent: Queue[Grid], thread: threading.Thread, failure: list[BaseException]) -> Grid:
    for _ in range(round(STARTING_S / 0.1)):
        try:
            return lent.get(timeout=0.1)
        except Empty:
            if not thread.is_alive():
                break
    raise ClusterLostError(f"Flower's simulation did not start: {_reason(failure)}")


def _reason(failure: list[BaseException]) -> str:
    return f"{type(failure[0]).__name__}: {failure[0]}" if failure else "it gave no reason"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Flower's log to itself meanwhile: what matters comes back as an error."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
