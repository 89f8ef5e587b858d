"""Who is whose neighbour: what a graph of clients is, and how it is drawn, keyed by the run's seed.

A graph is a set of arcs (receiver, sender). Undirected graphs hold both directions of every edge; only
`one_peer_exponential` is directed. Random graphs are drawn anew, up to a hundred times, until they are connected.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from fedsim.core import ScenarioError, World, rng
from fedsim.core.config.inputs import content, files_of
from fedsim.core.contracts import Ids

if TYPE_CHECKING:
    import networkx as nx

Problems = Iterator[tuple[str, str]]
ATTEMPTS = 100
"""Draws of a random graph before it is called disconnected."""


@dataclass(frozen=True)
class Graph:
    """Arcs over N clients, without loops or doubles, ordered by (receiver, sender).

    Attributes
    ----------
    receivers, senders : (E,) both ends of each arc; models flow from sender to receiver.
    """

    num_clients: int
    receivers: Ids
    senders: Ids

    @property
    def in_degrees(self) -> Ids:
        """Neighbours that each client hears, (N,)."""
        return np.bincount(self.receivers, minlength=self.num_clients)

    @property
    def out_degrees(self) -> Ids:
        """Neighbours that hear each client, (N,)."""
        return np.bincount(self.senders, minlength=self.num_clients)

    def where(self, kept: npt.NDArray[np.bool_]) -> Graph:
        """Return the graph with some of its arcs (E,)."""
        return Graph(self.num_clients, self.receivers[kept], self.senders[kept])

    def num_components(self) -> int:
        """Return how many parts do not hear each other."""
        import networkx as nx

        graph = nx.empty_graph(self.num_clients)
        graph.add_edges_from(zip(self.receivers.tolist(), self.senders.tolist(), strict=True))
        return int(nx.number_connected_components(graph))


def directed(num_clients: int, receivers: Ids, senders: Ids) -> Graph:
    """Return the graph of some arcs, given in any order; loops and doubles are dropped."""
    codes = np.unique((receivers * num_clients + senders)[receivers != senders])
    return Graph(num_clients, *np.divmod(codes, max(1, num_clients)))


def undirected(num_clients: int, pairs: npt.NDArray[np.int64]) -> Graph:
    """Return the graph of some edges (E, 2), each of them two arcs."""
    return directed(num_clients, np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]]))


def from_networkx(graph: nx.Graph[Any]) -> Graph:
    """Return a networkx graph whose nodes are numbered, or sort into the order of the clients."""
    place = {node: number for number, node in enumerate(sorted(graph))}
    pairs = [(place[a], place[b]) for a, b in graph.edges]
    return undirected(len(place), np.array(pairs, np.int64).reshape(-1, 2))


@dataclass(frozen=True, kw_only=True)
class Topology(ABC):
    """One kind of graph. Concrete classes carry `kind: Literal["..."]`, the word in `topology: {kind: ...}`."""

    changes: ClassVar[bool] = False
    """Whether each round has a graph of its own."""
    sparse: ClassVar[bool] = False
    """Whether single rounds need not be connected, as only their sequence is."""

    kind: str
    """The word that chooses this kind of graph."""

    @abstractmethod
    def draw(self, world: World, key: int) -> Graph:
        """Return the graph; `key` is the seed of random ones, or the round (from 1) of `sparse` ones."""

    def problems(self) -> Problems:
        """Yield (key, message) for options that exclude each other."""
        yield from ()

    def problems_in(self, world: World) -> Problems:
        """Yield (key, message) for options that do not fit the number of clients, or a file that is not usable."""
        yield from ()

    def graph(self, world: World, round: int, *, allow_disconnected: bool = False) -> Graph:
        """Return the graph of a round, a function of (seed, round).

        Raises
        ------
        ScenarioError : it falls apart, and `allow_disconnected` does not say that it may.
        """
        number = round if self.changes else 0
        held = world.content or "".join(content(file).sha256 for file in files_of(self, world.folder))
        return _graph(self, world.seed, world.num_clients, world.folder, held, number, allow_disconnected)


@lru_cache(maxsize=8)
def _graph(topology: Topology, seed: int, num_clients: int, folder: str, held: str, number: int, anyhow: bool) -> Graph:
    """Return a graph; `held` is what the file that it comes from holds, so that another content is another graph."""
    world = World(seed, num_clients, folder=folder)
    if topology.sparse:
        return topology.draw(world, number)
    for attempt in range(ATTEMPTS):
        graph = topology.draw(world, rng.digest(seed, "topology", number, attempt) & 0xFFFFFFFF)
        if anyhow or graph.num_components() <= 1:
            return graph
    parts = graph.num_components()
    text = f"this {topology.kind} graph falls into {parts} parts that never hear each other; give it more edges"
    raise ScenarioError(text)
