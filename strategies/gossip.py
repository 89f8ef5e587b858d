r"""Gossip: no server model; clients average with their neighbours, and may give each layer its variance back.

Tian, Al-Ars, Kitsak, Hofstee, "Vanishing variance problem in fully decentralized neural-network systems", arXiv
2404.04616 (the authors' simulators are the reference for what the abstract leaves open). In a round every present
client trains its own model w_i and then merges, with the mixing weights m_ij of the graph as it was realised:

    a = sum_j m_ij w_j                                       correction: none
    (a - mean(a)) sqrt(s2 / var(a)) + mean(a)                correction: variance, for each tensor separately
    with s2 = sum_j m_ij var(w_j)                            target: all; or over the neighbours, or var(w_i) alone

Averaging N uncorrelated models divides their variance by N, which undoes the initialisation of deep networks; the
factor fades to 1 as models align, so there is no switch and no schedule. State: messages under way and clocks,
O(edges); models, momentum and inboxes live with the clients. An absent client neither trains nor merges; a client that
hears nobody keeps its model. Absences and dropped edges leave a smaller graph, whose weights are formed anew: on
undirected graphs Metropolis-Hastings stays doubly stochastic. Departures from the paper: mixing law, target and
tensors are options.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Le

from fedsim.core import PeerRule, ScenarioError, World, rng
from fedsim.core.config.written import Written
from fedsim.core.contracts import Ids
from fedsim.graphs.graph import Graph
from fedsim.graphs.topology import AnyTopology, Edges, Ring
from fedsim.strategies.peers import mixing
from fedsim.strategies.peers.asynchronous import Asynchronous, Clocks, Mail
from fedsim.strategies.peers.mixing import Law, Rows, Target

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"correction": "none"},
    "corrected": {"correction": "variance"},
    "tian2024": {"correction": "variance", "self_weight": 0.5, "target": "neighbours"},
}


@dataclass(frozen=True)
class GossipState:
    """What the coordinator keeps between rounds: messages that nobody has merged yet, and the clients' clocks."""

    mail: Mail
    clocks: Clocks


@dataclass(frozen=True)
class Exchange:
    """What goes from client to client in a round.

    Attributes
    ----------
    rows : who merges what.
    kept : messages of this round that wait beyond it: their models must be kept by the receivers.
    attempted, dropped, delivered, in_flight : messages; attempted + in flight before = the other three together.
    """

    rows: Rows
    kept: Mail
    attempted: int
    dropped: int
    delivered: int
    in_flight: int


@dataclass(frozen=True, kw_only=True)
class Gossip(Written, PeerRule):
    """Average with neighbours, without a server; variance-corrected on request (Tian et al. 2024).

    >>> rule = Gossip(preset="tian2024")
    >>> rule.correction, rule.self_weight, rule.target
    ('variance', 0.5, 'neighbours')
    >>> world = World(seed=1, num_clients=4)
    >>> everybody = np.arange(4)
    >>> state, exchange = rule.exchange(rule.start(world), world, 1, everybody, everybody)
    >>> exchange.rows.matrix(4)[0].tolist(), exchange.attempted
    ([0.5, 0.25, 0.0, 0.25], 8)
    """

    name: Literal["gossip"] = "gossip"
    preset: Literal["plain", "corrected", "tian2024"] | None = None
    """A named choice of correction, self_weight and target; an option that is written beside it wins."""
    topology: AnyTopology = field(default_factory=Ring)
    """Who is whose neighbour."""
    mixing: Law = "metropolis"
    """Mixing weights: Metropolis-Hastings, or 1/(neighbours + 1) for each neighbour and self."""
    self_weight: Annotated[float, Ge(0), Le(1)] | None = None
    """Weight on the own model, the neighbours sharing the rest equally; null keeps what `mixing` says."""
    correction: Literal["none", "variance"] = "none"
    """Whether each tensor gets back the variance that averaging took."""
    target: Target = "all"
    """Whose variances are restored: the mean over all with their weights, over the neighbours, or the own."""
    tensors: Literal["weights", "all"] = "weights"
    """What is corrected and measured: tensors of two dimensions and more, or all; others are averaged plainly."""
    initialisation: Literal["independent", "common"] = "independent"
    """Each client starts from a draw of its own, or all from the same."""
    edge_drop_fraction: Annotated[float, Ge(0), Le(1)] = 0.0
    """Chance that an edge is down in a round, in both directions."""
    allow_disconnected: bool = False
    """Whether the graph may fall into parts that never hear each other."""
    asynchronous: Asynchronous | None = None
    """Clocks, delays, loss and buffers; null means synchronous rounds."""
    evaluate_nodes: Annotated[int, Ge(1)] | None = None
    """Evaluate the own models of so many clients only, drawn anew each time; null means of all."""
    spectral_window: Annotated[int, Ge(1)] = 10
    """Rounds over which the realised spectral gap is formed."""
    track_variance: bool = True
    """Whether variances and factors are measured in every round; `correction: variance` needs most of it anyway."""

    def __post_init__(self) -> None:
        for key, value in self.preset_values.items():
            if not self.wrote(key):
                object.__setattr__(self, key, value)

    @property
    def preset_values(self) -> Mapping[str, Any]:
        """What the preset chooses for keys that are not written."""
        return PRESETS.get(self.preset or "", {})

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for a graph that does not fit the number of clients."""
        found = list(self.topology.problems_in(world))
        yield from ((f"topology.{key}".rstrip("."), message) for key, message in found)
        if not found and isinstance(self.topology, Edges):
            try:
                self.graph(world, 1)
            except ScenarioError as error:
                yield "topology", str(error).removeprefix("strategy.topology: ")

    def graph(self, world: World, round: int) -> Graph:
        """Return the graph of a round before absences; refuses one that falls apart."""
        try:
            return self.topology.graph(world, round, allow_disconnected=self.allow_disconnected)
        except ScenarioError as error:
            raise ScenarioError(f"strategy.topology: {error}, or say `allow_disconnected: true`") from error

    def start(self, world: World) -> GossipState:
        """Return the state before round 1."""
        self.graph(world, 1)
        idle = Clocks(np.zeros(0, np.int64), np.zeros(0, np.int64))
        clocks = idle if self.asynchronous is None else self.asynchronous.clocks(world.seed, world.num_clients)
        return GossipState(Mail.empty(), clocks)

    def turns(self, state: GossipState, world: World, round: int, present: Ids) -> tuple[GossipState, Ids]:
        """Return who trains among those present."""
        if self.asynchronous is None:
            return state, present
        clocks, due = self.asynchronous.advance(world.seed, state.clocks, round)
        return replace(state, clocks=clocks), np.intersect1d(due, present)

    def exchange(
        self, state: GossipState, world: World, round: int, present: Ids, trained: Ids
    ) -> tuple[GossipState, Exchange]:
        """Return who merges what: of those present, from the models of those who trained or that wait."""
        graph = self.graph(world, round)
        sending = np.isin(graph.senders, trained)
        if self.asynchronous is None:
            sending &= np.isin(graph.receivers, trained)
        graph = graph.where(sending)
        attempted = len(graph.senders)
        graph = graph.where(~self._down(graph, world.seed, round))
        fresh = self._posted(graph, world.seed, round)
        mail = state.mail.and_(fresh)
        arrived = mail.arrival <= round
        merging = arrived & self._ready(mail, arrived, world.num_clients, present)
        now = mail.at(np.flatnonzero(merging))
        rows = mixing.rows(
            now.receivers,
            now.senders,
            now.sent,
            now.out_degrees,
            round,
            law=self.mixing,
            self_weight=self.self_weight,
            target=self.target,
        )
        after = mail.at(np.flatnonzero(~merging))
        before = np.count_nonzero(state.mail.arrival >= round)
        exchange = Exchange(
            rows=rows,
            kept=after.at(np.flatnonzero(after.sent == round)),
            attempted=attempted,
            dropped=attempted - len(fresh),
            delivered=int(np.count_nonzero(mail.arrival[arrived] == round)),
            in_flight=int(np.count_nonzero(mail.arrival > round)),
        )
        balance = exchange.dropped + exchange.delivered + exchange.in_flight
        assert attempted + before == balance, "messages do not balance"
        return replace(state, mail=after), exchange

    def _down(self, graph: Graph, seed: int, round: int) -> npt.NDArray[np.bool_]:
        """Return which arcs (E,) belong to edges that are down."""
        if self.edge_drop_fraction == 0:
            return np.zeros(len(graph.senders), bool)
        one, other = np.minimum(graph.senders, graph.receivers), np.maximum(graph.senders, graph.receivers)
        return rng.uniforms(rng.digest(seed, "gossip.edges", round), one, other) < self.edge_drop_fraction

    def _posted(self, graph: Graph, seed: int, round: int) -> Mail:
        """Return the messages of a round that are not lost."""
        senders, receivers = graph.senders, graph.receivers
        arrival = np.full(len(senders), round, np.int64)
        lost = np.zeros(len(senders), bool)
        if self.asynchronous is not None:
            arrival = arrival + self.asynchronous.delay.draw(seed, round, senders, receivers)
            lost = rng.uniforms(rng.digest(seed, "gossip.loss", round), senders, receivers) < self.asynchronous.loss
        posted = Mail(senders, receivers, np.full(len(senders), round, np.int64), arrival, graph.out_degrees[senders])
        return posted.at(np.flatnonzero(~lost))

    def _ready(
        self, mail: Mail, arrived: npt.NDArray[np.bool_], num_clients: int, present: Ids
    ) -> npt.NDArray[np.bool_]:
        """Return which messages (K,) are for clients that are there and have enough of them."""
        here = np.zeros(num_clients, bool)
        here[present] = True
        if self.asynchronous is not None:
            here &= np.bincount(mail.receivers[arrived], minlength=num_clients) >= self.asynchronous.buffer
        return here[mail.receivers]
