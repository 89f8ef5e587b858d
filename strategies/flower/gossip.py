"""Gossip as a Flower strategy: it coordinates phases and mixing weights; models go from node to node, never through it.

A round is two phases, training and merging, each with one message a node. Between them the nodes' hosts publish the
trained models to each other; only who delivered comes back, and only who merges what, with which weights, goes out.
An evaluation is two phases likewise: the nodes publish sums of their models, and judge their clients' models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim.core import ClusterLostError, Cohort, Failure, World, rng
from fedsim.core.contracts import Ids
from fedsim.strategies.flower.codec import num_bytes, pack, unpack
from fedsim.strategies.gossip import Exchange, Gossip, GossipState

MERGE = f"{MessageType.TRAIN}.merge"
JUDGE = f"{MessageType.EVALUATE}.judge"


@dataclass(frozen=True)
class PeerReply:
    """What a node told in one phase."""

    node: int
    told: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]
    nbytes: int


@dataclass(frozen=True)
class PeerOutcome:
    """What one round of gossip came to, for those who measure."""

    invited: Cohort
    cohort: Cohort
    exchange: Exchange
    trained: tuple[PeerReply, ...]
    merged: tuple[PeerReply, ...]
    failures: tuple[Failure, ...]
    bytes_down: int


@dataclass
class _Round:
    """A round under way."""

    present: Ids
    invited: Cohort
    state: GossipState
    trained: tuple[PeerReply, ...] = ()
    cohort: Cohort | None = None
    failures: tuple[Failure, ...] = ()
    exchange: Exchange | None = None
    bytes_down: int = field(default=0)


class GossipStrategy(Strategy):
    """Any `Gossip` as a Flower strategy.

    Parameters
    ----------
    choose : the participation process: round -> ids present, ascending.
    num_nodes : client i lives on node i mod num_nodes.
    """

    def __init__(self, rule: Gossip, world: World, choose: Callable[[int], Ids], num_nodes: int) -> None:
        self.rule, self.world, self.choose, self.num_nodes = rule, world, choose, num_nodes
        self.state: GossipState | None = None
        self._round: _Round | None = None

    def begin(self) -> GossipState:
        """Return the state before round 1, and keep it."""
        self.state = self.rule.start(self.world)
        return self.state

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Tell the nodes which of their clients train; no model goes along."""
        state = self.state or self.begin()
        present = self.choose(server_round)
        state, turns = self.rule.turns(state, self.world, server_round, present)
        self._round = _Round(present, Cohort(server_round, turns), state)
        home = turns % self.num_nodes
        contents = {
            node: pack("train", {"round": server_round}, clients=turns[home == node]) for node in np.unique(home)
        }
        return self._messages(contents, MessageType.TRAIN, server_round, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Note who delivered."""
        self.delivered(server_round, replies)
        cohort = self._current(server_round).cohort
        return None, MetricRecord({"cohort_size": 0 if cohort is None else len(cohort)})

    def delivered(self, server_round: int, replies: Iterable[Message]) -> tuple[Failure, ...]:
        """Note who delivered; return who failed, and so neither sends nor merges in this round."""
        current = self._current(server_round)
        current.trained = opened(replies)
        clients = np.sort(np.concatenate([r.arrays["clients"] for r in current.trained] or [np.zeros(0, np.int64)]))
        current.cohort = Cohort(server_round, clients)
        current.failures = tuple(
            Failure(int(client), kind, text) for r in current.trained for client, kind, text in r.told["failures"]
        )
        return current.failures

    def configure_merge(self, server_round: int, grid: Grid) -> Iterable[Message]:
        """Tell the nodes which of their clients merge whose models, with which weights."""
        current = self._current(server_round)
        assert current.cohort is not None
        failed = np.array([failure.client for failure in current.failures], np.int64)
        present = np.setdiff1d(current.present, failed)
        current.state, current.exchange = self.rule.exchange(
            current.state, self.world, server_round, present, current.cohort.clients
        )
        contents = {}
        for node in range(self.num_nodes):
            rows = current.exchange.rows.of(current.exchange.rows.clients % self.num_nodes == node)
            waiting = current.exchange.kept.senders[current.exchange.kept.receivers % self.num_nodes == node]
            senders, uses = np.unique(waiting, return_counts=True)
            if len(rows.clients) or len(senders):
                parts = {name: getattr(rows, name) for name in ROWS}
                contents[node] = pack("merge", {"round": server_round}, **parts, kept=senders, uses=uses)
        return self._messages(contents, MERGE, server_round, grid)

    def conclude(self, server_round: int, replies: Iterable[Message]) -> PeerOutcome:
        """Return what the round came to, of which these are the replies to the merges; it is done."""
        current = self._current(server_round)
        assert current.cohort is not None, "the merge follows the training"
        assert current.exchange is not None, "the merge follows its configure"
        self.state = current.state
        return PeerOutcome(
            invited=current.invited,
            cohort=current.cohort,
            exchange=current.exchange,
            trained=current.trained,
            merged=opened(replies),
            failures=current.failures,
            bytes_down=current.bytes_down,
        )

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Have the nodes publish the sums of their models to each other."""
        return self._messages({node: pack("total", {}) for node in range(self.num_nodes)}, "evaluate", 0, grid)

    def configure_judge(self, server_round: int, grid: Grid) -> Iterable[Message]:
        """Have the nodes judge their clients' models, or a fresh sample of them, and node 0 the mean of all."""
        sampled = self.sample(server_round)
        contents = {
            node: pack("judge", {}, clients=sampled[sampled % self.num_nodes == node]) for node in range(self.num_nodes)
        }
        return self._messages(contents, JUDGE, server_round, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Nothing is drawn together here: nodes tell many numbers, and they are measured elsewhere."""
        return None

    def summary(self) -> None:
        """Say nothing: the run's own log describes the strategy."""

    def sample(self, round: int) -> Ids:
        """Return whose own models are evaluated after a round, ascending."""
        everyone = np.arange(self.world.num_clients, dtype=np.int64)
        size = self.rule.evaluate_nodes
        if size is None or size >= len(everyone):
            return everyone
        return np.sort(rng.stream(self.world.seed, "gossip.sample", round).choice(everyone, size, replace=False))

    def _current(self, round: int) -> _Round:
        assert self._round is not None, "a round begins with its configure"
        assert self._round.invited.round == round, "phases belong to one round"
        return self._round

    def _messages(self, contents: Mapping[int, Any], kind: str, round: int, grid: Grid) -> list[Message]:
        """Write one message for each node that `contents` names."""
        ids = sorted(grid.get_node_ids())
        if self._round is not None:
            self._round.bytes_down += sum(num_bytes(content) for content in contents.values())
        return [
            Message(content, dst_node_id=ids[node], message_type=kind, group_id=str(round))
            for node, content in sorted(contents.items())
        ]


ROWS = ("clients", "starts", "senders", "sent", "weights", "targets")


def opened(replies: Iterable[Message]) -> tuple[PeerReply, ...]:
    """Return the replies of a phase, nodes ascending."""
    found = []
    for message in replies:
        if message.has_error():
            raise ClusterLostError(f"node {message.metadata.src_node_id} replied with an error: {message.error.reason}")
        _, told, arrays = unpack(message.content)
        found.append(PeerReply(int(told["node"]), told, arrays, num_bytes(message.content)))
    return tuple(sorted(found, key=lambda reply: reply.node))
