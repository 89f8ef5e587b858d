"""A host of gossip: nodes whose clients keep models of their own, and what they publish to other hosts.

`handle_all` takes what all hosts published in the phase before and returns what this host publishes now, apart from
the replies: the one goes from host to host, the other to the driver.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from flwr.app import RecordDict

from fedsim.clients import numerics
from fedsim.clients.evaluation import Evaluator
from fedsim.clients.gossip.node import PeerNode
from fedsim.clients.training import Trainer
from fedsim.core import ClientData
from fedsim.engine.checkpoint.remote import called
from fedsim.engine.nodes.host import HostPlan
from fedsim.strategies.flower.codec import pack, unpack
from fedsim.strategies.flower.gossip import ROWS
from fedsim.strategies.peers.mixing import Rows

Publications = Mapping[int, Any]
"""What nodes offer to others, by node."""


class PeerHost:
    """The nodes of one host, sharing a trainer and an evaluator."""

    def __init__(self, plan: HostPlan, data: ClientData, nodes: Sequence[int]) -> None:
        numerics.pin(plan.device)
        peers = plan.peers
        assert peers is not None, "a host of gossip needs a plan of gossip"
        self.plan = plan
        self.trainer = Trainer(
            plan.model, plan.work, data, plan.seed, plan.device, plan.task.loss if plan.task else None
        )
        evaluator = Evaluator(plan.model, data, peers.weights, plan.device, plan.task, plan.seed)
        limit = plan.work.timeout_s
        self.nodes = {index: PeerNode(index, self.trainer, peers, evaluator, plan.faults, limit) for index in nodes}

    def handle_all(
        self, calls: Sequence[tuple[int, RecordDict]], published: Iterable[Publications] = ()
    ) -> tuple[list[RecordDict], float, Publications]:
        """Answer a phase's messages, nodes ascending; also the seconds it took, and what is published."""
        began = perf_counter()
        heard = {node: offer for offers in published for node, offer in offers.items()}
        replies, offers = [], {}
        for node, content in sorted(calls, key=lambda call: call[0]):
            reply, offer = self._handle(self.nodes[node], content, heard)
            replies.append(reply)
            if offer is not None:
                offers[node] = offer
        return replies, perf_counter() - began, offers

    def _handle(self, node: PeerNode, content: RecordDict, heard: Publications) -> tuple[RecordDict, Any]:
        action, asked, arrays = unpack(content)
        told: dict[str, Any] = {}
        vectors: Mapping[str, np.ndarray[Any, Any]] = {}
        offer: Any = None
        match action:
            case "train":
                told, clients, offer = node.train(asked["round"], arrays["clients"])
                vectors = {"clients": clients}
            case "merge":
                rows = Rows(**{name: arrays[name] for name in ROWS})
                told = node.merge(asked["round"], rows, (arrays["kept"], arrays["uses"]), heard)
            case "total":
                offer = node.total()
            case "judge":
                told, vectors = node.judge(arrays["clients"], heard)
        return pack(action, {"node": node.index, **told}, **vectors), offer

    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """Call a method of every node that `arguments` names and that lives here; results by node."""
        mine = ((index, node) for index, node in self.nodes.items() if index in arguments)
        return {index: called(node, method, arguments[index]) for index, node in mine}
