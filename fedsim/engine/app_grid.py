"""Somebody else's Flower app on this engine's nodes: its ServerApp here, its ClientApp on hosts, one context a node.

Node ids are fixed, replies come in the order of the messages, and the generators that apps draw from are seeded: an
unmodified app gives the same result twice, on any number of hosts.
"""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.config import get_fused_config_from_dir, get_project_config, parse_config_args
from flwr.common.constant import ErrorCode
from flwr.serverapp import ServerApp
from flwr.supercore.object_ref import load_app
from flwr.supercore.task_identity import TaskIdentity

from clients import numerics
from fedsim.core import ClusterLostError, ScenarioError
from fedsim.engine.grid import FIRST_NODE_ID, MessageGrid
from fedsim.engine.ray_session import session

Call = tuple[int, str, str, RecordDict]
"""Node, message type, group, content."""


@dataclass(frozen=True)
class App:
    """A Flower app in a folder: where its two halves are, and its configuration."""

    folder: Path
    server: str
    client: str
    config: Mapping[str, Any]


def read_app(folder: Path, overrides: Sequence[str] = ()) -> App:
    """Return the app of a folder with a `pyproject.toml`; `overrides` are as of `flwr run --run-config`.

    Raises
    ------
    ScenarioError : there is none, or it does not say where its halves are.
    """
    if not (folder / "pyproject.toml").is_file():
        raise ScenarioError(f"{folder}: there is no Flower app here: no pyproject.toml")
    try:
        parts = get_project_config(folder)["tool"]["flwr"]["app"]["components"]
        config = get_fused_config_from_dir(folder, parse_config_args(list(overrides)))
        return App(folder.absolute(), parts["serverapp"], parts["clientapp"], config)
    except (KeyError, ValueError) as error:
        raise ScenarioError(f"{folder / 'pyproject.toml'}: not the configuration of a Flower app: {error}") from error


class AppHost:
    """Runs the ClientApp for some nodes."""

    def __init__(self, app: App, nodes: Sequence[int], num_nodes: int, seed: int) -> None:
        numerics.pin()
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
        self.seed = seed
        self.app: ClientApp = load_app(app.client, ScenarioError, app.folder)
        self.contexts = {
            node: Context(
                run_id=1,
                node_id=FIRST_NODE_ID + node,
                node_config={"partition-id": node, "num-partitions": num_nodes},
                state=RecordDict(),
                run_config=dict(app.config),
            )
            for node in nodes
        }
        self.calls = dict.fromkeys(nodes, 0)

    def handle_all(self, calls: Sequence[Call]) -> list[RecordDict | Error]:
        """Answer messages, nodes ascending as given; what the app raises becomes an error reply, as under Flower."""
        return [self._handle(*call) for call in calls]

    def _handle(self, node: int, kind: str, group: str, content: RecordDict) -> RecordDict | Error:
        self.calls[node] += 1
        message = Message(content, dst_node_id=FIRST_NODE_ID + node, message_type=kind, group_id=group)
        try:
            with _seeded(self.seed, node + 1, self.calls[node]):
                reply = self.app(message, self.contexts[node])
        except Exception:  # whatever somebody else's code raises
            return Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, traceback.format_exc(limit=-3))
        return reply.error if reply.has_error() else reply.content


class AppGrid(MessageGrid):
    """Nodes that run a ClientApp: in this process (`hosts` 0), or on Ray actors."""

    def __init__(self, app: App, num_nodes: int, hosts: int, seed: int) -> None:
        super().__init__(num_nodes)
        self.hosts = max(1, min(hosts, num_nodes))
        dealt = [range(host, num_nodes, self.hosts) for host in range(self.hosts)]
        self._remote = hosts > 0
        if self._remote:
            import ray

            actor = ray.remote(num_cpus=1, max_restarts=0)(AppHost)
            self._hosts: list[Any] = [actor.remote(app, nodes, num_nodes, seed) for nodes in dealt]
        else:
            self._hosts = [AppHost(app, nodes, num_nodes, seed) for nodes in dealt]
        self._answers: dict[str, RecordDict | Error] = {}
        self._under_way: list[tuple[list[str], Any]] = []

    def submit(self, batch: dict[str, Message]) -> None:
        """Give every host its share of the messages."""
        for host, actor in enumerate(self._hosts):
            share = {key: message for key, message in batch.items() if self.node_of(message) % self.hosts == host}
            calls = [(self.node_of(m), m.metadata.message_type, m.metadata.group_id, m.content) for m in share.values()]
            if calls:
                answers = actor.handle_all.remote(calls) if self._remote else actor.handle_all(calls)
                self._under_way.append((list(share), answers))

    def gather(self, message_ids: Sequence[str]) -> dict[str, Any]:
        """Return the contents, or errors, of the replies."""
        for keys, answers in self._under_way:
            self._answers.update(zip(keys, self._get(answers) if self._remote else answers, strict=True))
        self._under_way = []
        return {key: self._answers.pop(key) for key in message_ids if key in self._answers}

    def _get(self, reference: Any) -> Any:
        import ray
        from ray.exceptions import GetTimeoutError, RayError

        while True:
            try:
                return ray.get(reference, timeout=1.0)
            except GetTimeoutError:
                continue
            except RayError as error:
                raise ClusterLostError(f"a host of the app was lost: {' '.join(str(error).split())[:300]}") from error

    def describe(self) -> dict[str, Any]:
        """Return the place."""
        return {"kind": "ray" if self._remote else "serial", "nodes": self.num_nodes, "hosts": self.hosts}

    def close(self) -> None:
        """End the hosts."""
        if self._remote:
            import ray

            for actor in self._hosts:
                ray.kill(actor, no_restart=True)


def run_app(app: App, num_nodes: int, *, hosts: int = 0, address: str = "local", seed: int = 0) -> float:
    """Run an app's ServerApp over `num_nodes` nodes to its end; return the seconds that it took."""
    where: AbstractContextManager[Any] = session(address, hosts) if hosts else nullcontext()
    with where:
        grid = AppGrid(app, num_nodes, hosts, seed)
        server: ServerApp = load_app(app.server, ScenarioError, app.folder)
        context = Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config=dict(app.config))
        began = time.perf_counter()
        try:
            with _seeded(seed, 0, 0):
                server(grid, context)
        finally:
            grid.close()
        return time.perf_counter() - began


@contextmanager
def _seeded(*key: int) -> Iterator[None]:
    """Seed the generators that Flower apps draw from, and put them back: in one process two apps share them."""
    import torch

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    number = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - it is the app's generator, not ours
    torch.manual_seed(number)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])
