"""A run of somebody else's Flower app: the ServerApp in a thread of its own, the ClientApps here or on Ray hosts."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import groupby
from logging import ERROR
from math import inf
from operator import itemgetter
from typing import Any

from flwr.app import Context, RecordDict
from flwr.serverapp import ServerApp
from flwr.supercore import log

from fedsim.clients.foreign.generators import generators, put_back, seeded
from fedsim.core import ClusterLostError, ScenarioError
from fedsim.engine.flower.app_grid import AppGrid
from fedsim.engine.flower.app_world import World
from fedsim.engine.nodes.app_folder import App, load
from fedsim.engine.nodes.app_host import RUN_ID, AppHost, Heard, RemoteAppHost
from fedsim.engine.ray.session import session

WAITS = {"sample_nodes": ("min_available_nodes", "sample_size"), "wait_for": ("num_clients",)}
"""Functions of Flower in which a ServerApp waits for nodes, and the local names of how many."""
LONG_S = 3600.0
"""A wait with a shorter limit than this is left to run out."""
_SAYING = threading.Lock()


def run_app(
    app: App, num_nodes: int, *, hosts: int = 0, address: str = "local", seed: int = 0, world: World | None = None
) -> float:
    """Run an app's ServerApp over `num_nodes` nodes to its end; return the seconds that it took.

    In a `world` nodes come and go; it hears what happens. With `hosts` 0 this thread does the nodes' work; otherwise so
    many Ray actors do.

    Raises
    ------
    ScenarioError : the app cannot be loaded, or waits for more nodes than there are.
    ClusterLostError : a host is gone.
    """
    if hosts == 0:
        return _run_here(app, num_nodes, seed, world)
    with session(address, hosts):
        return _run_on_ray(app, num_nodes, min(hosts, num_nodes), seed, world)


def _run_here(app: App, num_nodes: int, seed: int, world: World | None) -> float:
    host = AppHost(app, seed)
    before: list[Any] = []

    def settled() -> None:
        put_back(before.pop())

    grid = AppGrid(app, num_nodes, 1, settled, world)
    with _served(app, grid, seed) as server:
        while server.is_alive():
            server.check()
            taken = grid.take(0)
            if taken is None:
                continue
            asked, context = taken
            if not before:  # the ServerApp's own draws go on from here when no client is at work
                before.append(generators())
            reply, after = host.handle(asked.message, context, (asked.node + 1, asked.place))
            _tell(asked.node, reply.error.reason if after is None else None)
            grid.bring(asked, reply, after)
    return server.seconds


def _run_on_ray(app: App, num_nodes: int, num_hosts: int, seed: int, world: World | None) -> float:
    import ray

    actor: Any = ray.remote(num_cpus=1, max_restarts=0)(RemoteAppHost)
    actors: list[Any] = [actor.remote(app, seed) for _ in range(num_hosts)]
    try:
        for made in actors:
            problem, heard = _get(made.ready.remote())
            _say(heard)
            if problem is not None:
                raise ScenarioError(problem)
        grid = AppGrid(app, num_nodes, num_hosts, world=world)
        for number, made in enumerate(actors):
            threading.Thread(target=_drive, args=(grid, number, made), name=f"app-host-{number}", daemon=True).start()
        with _served(app, grid, seed) as server:
            while server.is_alive():
                server.check()
                server.wait(1.0)
        return server.seconds
    finally:
        for made in actors:
            ray.kill(made, no_restart=True)


def _drive(grid: AppGrid, number: int, actor: Any) -> None:
    """Take messages to one Ray host and bring its replies back, one at a time, until the grid is closed."""
    try:
        while not grid.closed:
            taken = grid.take(number)
            if taken is not None:
                asked, context = taken
                place = (asked.node + 1, asked.place)
                reply, after, heard = _get(actor.handle.remote(asked.message, context, place))
                _say(heard)
                _tell(asked.node, reply.error.reason if after is None else None)
                grid.bring(asked, reply, after)
    except ClusterLostError as error:
        grid.fail(error)


def _get(reference: Any) -> Any:
    """Wait for what a host returns."""
    import ray
    from ray.exceptions import RayError

    try:
        return ray.get(reference)
    except RayError as error:
        raise ClusterLostError(f"a host of the app was lost: {' '.join(str(error).split())[:300]}") from error


def _say(heard: Heard) -> None:
    """Print here what was printed on a host; hosts are heard in threads, and a line of one is not cut by another's."""
    with _SAYING:
        for name, texts in groupby(heard, key=itemgetter(0)):
            stream = sys.stdout if name == "stdout" else sys.stderr
            stream.write("".join(text for _, text in texts))
            stream.flush()


def _tell(node: int, reason: str | None) -> None:
    """Say in Flower's log that a node failed, as Flower's own engine does."""
    if reason is not None:
        log(ERROR, "node %d: %s", node, reason)


class _Server:
    """The ServerApp at work in its thread."""

    def __init__(self, app: App, grid: AppGrid) -> None:
        self.grid = grid
        self.seconds = 0.0
        self.failure: BaseException | None = None
        self._app: ServerApp = load(app, "serverapp")
        self._context = Context(
            run_id=RUN_ID, node_id=0, node_config={}, state=RecordDict(), run_config=dict(app.config)
        )
        self._thread = threading.Thread(target=self._work, name="server-app", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _work(self) -> None:
        began = time.perf_counter()
        try:
            self._app(self.grid, self._context)
        except BaseException as error:  # carried over to the run's own thread
            self.failure = error
        self.seconds = time.perf_counter() - began
        self.grid.close()

    def is_alive(self) -> bool:
        """Return whether it goes on."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait for its end, for so long."""
        self._thread.join(seconds)

    def check(self) -> None:
        """Raise when it waits for what will never come: a host that is lost, or more nodes than there are.

        Flower would wait for ever; here nodes neither come nor go.
        """
        self.grid.check()
        frame = sys._current_frames().get(self._thread.ident or 0)
        while frame is not None:
            names = WAITS.get(frame.f_code.co_name, ())
            limit_s = frame.f_locals.get("timeout", inf)
            if names and limit_s > LONG_S and str(frame.f_globals.get("__name__", "")).startswith("flwr."):
                wanted = max(int(frame.f_locals.get(name, 0)) for name in names)
                if wanted > self.grid.num_nodes:
                    raise ScenarioError(
                        f"the ServerApp waits for {wanted} nodes and there are {self.grid.num_nodes}: write --nodes "
                        f"{wanted}, or lower what the app's strategy asks for (min_available_nodes, min_train_nodes, "
                        "min_evaluate_nodes; all are 2 by default)"
                    )
            frame = frame.f_back


@contextmanager
def _served(app: App, grid: AppGrid, seed: int) -> Iterator[_Server]:
    """Run the ServerApp while the block works for it; raise what it raised."""
    server = _Server(app, grid)
    with seeded(seed, 0, 0), nullcontext() if grid.world is None else grid.world.overhearing():
        server.start()
        try:
            yield server
        finally:
            grid.close()
    if server.failure is not None:
        raise server.failure
