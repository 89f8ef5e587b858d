"""Nodes as a Flower `ClientApp`: they keep their clients' memories in `Context.state`, where Flower keeps them for it.

Flower may hand every message to another process, so that nothing may stay behind in one: before a message the memories
are taken from the context, and afterwards they are put back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedsim.clients.foreign.states import States
from fedsim.clients.memory import Memory
from fedsim.clients.node import Node
from fedsim.core.config.inputs import Input
from fedsim.core.sums import DELTA
from fedsim.engine.nodes.host import Host
from fedsim.strategies.flower import arrays, codec

NODE = "node"
TIMING = "timing"
WHERE = "where"
NOWHERE = -1


class NodeApp(ClientApp):
    """One or more of a run's nodes, wherever Flower runs them.

    Parameters
    ----------
    host : the host that holds the nodes' clients, from the context; called for every message.
    read : the files that this process has read its data from, where it reads its own.
    """

    def __init__(
        self, host: Callable[[Context], Host], read: Callable[[Context], Sequence[Input]] = lambda context: ()
    ) -> None:
        super().__init__()
        self.host = host
        self.read = read

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer one message: which part of the nodes is here, a call of one node's methods, or training."""
        content = message.content
        if codec.RECORD in content:
            action, told, given = codec.unpack(content)
            if action == WHERE:
                config = context.node_config
                files = [[list(one.key), one.role, one.path, one.sha256] for one in self.read(context)]
                place = {
                    "files": files,
                    "part": config.get("partition-id", NOWHERE),
                    "parts": config.get("num-partitions", 0),
                }
                return Message(codec.pack(WHERE, place), reply_to=message)
        index = int(str(content.config_records.pop(NODE)["index"]))
        host = self.host(context)
        node = host.nodes[index]
        _recall(node, host, context)
        if codec.RECORD in content:
            answer = _call(node, action, told, given)
        else:
            began = perf_counter()
            answer = host.handle(index, content)
            answer[TIMING] = ConfigRecord({"seconds": perf_counter() - began})
        for part, key in _kept(node):
            context.state[key] = arrays.record(**part.snapshot())
        return Message(answer, reply_to=message)


def _recall(node: Node, host: Host, context: Context) -> None:
    """Give a node the memories that its context holds."""
    if node.states is not None:
        node.states = States()
    for part, key in _kept(node):
        part.clear()
        if key in context.state:
            part.take({name: array.numpy() for name, array in context.state.array_records[key].items()})


def _kept(node: Node) -> list[tuple[Memory | States, str]]:
    """Return what a node's clients keep, and where in the context it is."""
    kept: list[tuple[Memory | States, str]] = [(one, _key(node.index, name)) for name, one in node.memories.items()]
    return kept if node.states is None else [*kept, (node.states, f"states-{node.index}")]


def _key(node: int, name: str) -> str:
    return f"memory-{node}" if name == DELTA else f"memory-{node}.{name}"


def _call(node: Node, action: str, told: dict[str, Any], given: dict[str, Any]) -> RecordDict:
    """Call what a run needs of a node besides training."""
    if action == "audit":
        return codec.pack(action, {}, result=node.audit(given["weights"], told["name"]))
    folder = None if told["folder"] is None else Path(told["folder"])
    if action == "save":
        assert folder is not None
        node.save(folder, told["round"])
    else:
        assert action == "restore", f"nodes under Flower cannot {action}"
        node.restore(folder, told["round"])
    return codec.pack(action, {}, result=np.zeros(0))


class StoredHost:
    """The host of a simulation: plan and data come from Ray's object store, once per process."""

    def __init__(self, plan: Any, data: Any, num_nodes: int) -> None:
        self.plan, self.data, self.num_nodes = plan, data, num_nodes

    def __call__(self, context: Context) -> Host:
        """Return this process's host."""
        return _stored_host(self.plan, self.data, self.num_nodes)


@lru_cache(maxsize=1)
def _stored_host(plan: Any, data: Any, num_nodes: int) -> Host:
    import ray

    return Host(ray.get(plan), ray.get(data), range(num_nodes))
