"""The kinds of graphs of clients, through networkx: fixed, random, or another one in each round."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Le

from fedsim.core import ScenarioError, World, rng
from fedsim.core.config.inputs import InputPath, place_of
from fedsim.core.config.tagged import Tagged
from fedsim.graphs.edge_list import read_edges
from fedsim.graphs.graph import Graph, Problems, Topology, directed, from_networkx, undirected

Count = Annotated[int, Ge(1)]
Probability = Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True, kw_only=True)
class Ring(Topology):
    """A cycle: everybody has two neighbours."""

    kind: Literal["ring"] = "ring"

    def draw(self, world: World, key: int) -> Graph:
        """Return the cycle."""
        import networkx as nx

        return from_networkx(nx.cycle_graph(world.num_clients))


@dataclass(frozen=True, kw_only=True)
class Path_(Topology):  # noqa: N801 - pathlib has the plain name
    """A line from the first client to the last."""

    kind: Literal["path"] = "path"

    def draw(self, world: World, key: int) -> Graph:
        """Return the line."""
        import networkx as nx

        return from_networkx(nx.path_graph(world.num_clients))


@dataclass(frozen=True, kw_only=True)
class Star(Topology):
    """Client 0 is the neighbour of all the others, who have no other."""

    kind: Literal["star"] = "star"

    def draw(self, world: World, key: int) -> Graph:
        """Return the star."""
        import networkx as nx

        return from_networkx(nx.star_graph(world.num_clients - 1))


@dataclass(frozen=True, kw_only=True)
class Complete(Topology):
    """Everybody is everybody's neighbour."""

    kind: Literal["complete"] = "complete"

    def draw(self, world: World, key: int) -> Graph:
        """Return all arcs."""
        everyone = np.arange(world.num_clients, dtype=np.int64)
        return directed(world.num_clients, *(ends.ravel() for ends in np.meshgrid(everyone, everyone, indexing="ij")))


@dataclass(frozen=True, kw_only=True)
class Torus(Topology):
    """A grid whose borders are joined: everybody has four neighbours."""

    kind: Literal["torus"] = "torus"
    rows: Count | None = None
    """Rows of the grid; must divide the clients. The default makes it as square as possible."""

    def problems_in(self, world: World) -> Problems:
        """The rows divide the clients."""
        if self.rows is not None and world.num_clients % self.rows:
            yield "rows", f"must divide the {world.num_clients} clients, got {self.rows}"

    def draw(self, world: World, key: int) -> Graph:
        """Return the grid, clients row by row."""
        import networkx as nx

        count = world.num_clients
        rows = self.rows or next(r for r in range(isqrt(count), 0, -1) if count % r == 0)
        return from_networkx(nx.grid_2d_graph(rows, count // rows, periodic=True))


@dataclass(frozen=True, kw_only=True)
class Hypercube(Topology):
    """2^k clients, neighbours when their numbers differ in one binary digit."""

    kind: Literal["hypercube"] = "hypercube"

    def problems_in(self, world: World) -> Problems:
        """The clients are a power of two."""
        if world.num_clients & (world.num_clients - 1):
            yield "", f"a hypercube has 2, 4, 8, ... clients, got {world.num_clients}"

    def draw(self, world: World, key: int) -> Graph:
        """Return the hypercube."""
        import networkx as nx

        return from_networkx(nx.hypercube_graph(world.num_clients.bit_length() - 1))


def _regular_problems(degree: int, world: World) -> Problems:
    if degree >= world.num_clients or degree * world.num_clients % 2:
        yield (
            "degree",
            f"must be below the {world.num_clients} clients and give an even degree x clients, got {degree}",
        )


@dataclass(frozen=True, kw_only=True)
class Regular(Topology):
    """A random graph in which everybody has the same number of neighbours."""

    kind: Literal["regular"] = "regular"
    degree: Count = 8
    """Neighbours of each client; degree x clients must be even."""

    def problems_in(self, world: World) -> Problems:
        """Such a graph exists."""
        yield from _regular_problems(self.degree, world)

    def draw(self, world: World, key: int) -> Graph:
        """Draw the graph."""
        import networkx as nx

        return from_networkx(nx.random_regular_graph(self.degree, world.num_clients, seed=key))


@dataclass(frozen=True, kw_only=True)
class FreshRegular(Topology):
    """A new random regular graph in every round."""

    changes: ClassVar[bool] = True

    kind: Literal["fresh_regular"] = "fresh_regular"
    degree: Count = 8
    """Neighbours of each client; degree x clients must be even."""

    def problems_in(self, world: World) -> Problems:
        """Such a graph exists."""
        yield from _regular_problems(self.degree, world)

    def draw(self, world: World, key: int) -> Graph:
        """Draw the graph."""
        return Regular(degree=self.degree).draw(world, key)


@dataclass(frozen=True, kw_only=True)
class ErdosRenyi(Topology):
    """Every pair is joined with the same probability (Erdos and Renyi 1959; Gilbert's G(n, p))."""

    kind: Literal["erdos_renyi"] = "erdos_renyi"
    probability: Probability
    """Chance of each edge."""

    def draw(self, world: World, key: int) -> Graph:
        """Draw the graph."""
        import networkx as nx

        return from_networkx(nx.fast_gnp_random_graph(world.num_clients, self.probability, seed=key))


@dataclass(frozen=True, kw_only=True)
class WattsStrogatz(Topology):
    """A small world: a ring of near neighbours, some edges rewired at random (Watts and Strogatz 1998)."""

    kind: Literal["watts_strogatz"] = "watts_strogatz"
    neighbours: Annotated[int, Ge(2)] = 8
    """Nearest neighbours on the ring, even."""
    rewire: Probability = 0.1
    """Chance that an edge gets a random new end."""

    def problems(self) -> Problems:
        """The ring has as many neighbours on either side."""
        if self.neighbours % 2:
            yield "neighbours", f"must be even, got {self.neighbours}"

    def problems_in(self, world: World) -> Problems:
        """There are enough clients."""
        if self.neighbours >= world.num_clients:
            yield "neighbours", f"must be below the {world.num_clients} clients, got {self.neighbours}"

    def draw(self, world: World, key: int) -> Graph:
        """Draw the graph."""
        import networkx as nx

        return from_networkx(nx.watts_strogatz_graph(world.num_clients, self.neighbours, self.rewire, seed=key))


@dataclass(frozen=True, kw_only=True)
class BarabasiAlbert(Topology):
    """Scale-free: clients join one by one and prefer those with many neighbours (Barabasi and Albert 1999)."""

    kind: Literal["barabasi_albert"] = "barabasi_albert"
    edges: Count = 4
    """Edges of each newcomer."""

    def problems_in(self, world: World) -> Problems:
        """There are enough clients."""
        if self.edges >= world.num_clients:
            yield "edges", f"must be below the {world.num_clients} clients, got {self.edges}"

    def draw(self, world: World, key: int) -> Graph:
        """Draw the graph."""
        import networkx as nx

        return from_networkx(nx.barabasi_albert_graph(world.num_clients, self.edges, seed=key))


@dataclass(frozen=True, kw_only=True)
class StochasticBlock(Topology):
    """Communities: edges are likely inside a block and rare between blocks (Holland et al. 1983)."""

    kind: Literal["stochastic_block"] = "stochastic_block"
    blocks: Count = 2
    """Communities, of sizes as equal as possible; clients are dealt to them in order."""
    inside: Probability = 0.5
    """Chance of an edge inside a block."""
    between: Probability = 0.05
    """Chance of an edge between two blocks."""

    def problems_in(self, world: World) -> Problems:
        """No block is empty."""
        if self.blocks > world.num_clients:
            yield "blocks", f"must be at most the {world.num_clients} clients, got {self.blocks}"

    def draw(self, world: World, key: int) -> Graph:
        """Draw the graph."""
        import networkx as nx

        sizes = [len(part) for part in np.array_split(np.arange(world.num_clients), self.blocks)]
        chances = np.where(np.eye(self.blocks, dtype=bool), self.inside, self.between)
        return from_networkx(nx.stochastic_block_model(sizes, chances.tolist(), seed=key))


@dataclass(frozen=True, kw_only=True)
class Edges(Topology):
    """Exactly the edges that are given, in the scenario or in a file."""

    kind: Literal["edges"] = "edges"
    pairs: tuple[tuple[Annotated[int, Ge(0)], Annotated[int, Ge(0)]], ...] | None = None
    """The edges, e.g. [[0, 1], [1, 2]]; client ids from 0."""
    path: InputPath | None = None
    """A text file with two client ids a line, apart by blanks, comma or semicolon; # for remarks. No weights."""

    def problems(self) -> Problems:
        """One of the two is given."""
        if (self.pairs is None) == (self.path is None):
            yield "", "give the edges as `pairs`, or as the `path` of a file"

    def problems_in(self, world: World) -> Problems:
        """The edges join clients that exist."""
        try:
            pairs = self._read(world)
        except ScenarioError as error:
            yield from (("path", line) for line in str(error).splitlines())
            return
        if len(pairs) and pairs.max() >= world.num_clients:
            yield "pairs", f"client ids go from 0 to {world.num_clients - 1}, got {pairs.min()} to {pairs.max()}"
        if (pairs[:, 0] == pairs[:, 1]).any():
            yield "pairs", "an edge joins two different clients"

    def _read(self, world: World) -> npt.NDArray[np.int64]:
        if self.path is None:
            return np.array(self.pairs or (), np.int64).reshape(-1, 2)
        return read_edges(place_of(self.path, world.folder), world.num_clients)

    def draw(self, world: World, key: int) -> Graph:
        """Return the graph."""
        return undirected(world.num_clients, self._read(world))


@dataclass(frozen=True, kw_only=True)
class OnePeerExponential(Topology):
    """Each round everybody hears one client 1, 2, 4, ... places away: 2^k agree in k rounds (Ying et al. 2021)."""

    changes: ClassVar[bool] = True
    sparse: ClassVar[bool] = True

    kind: Literal["one_peer_exponential"] = "one_peer_exponential"

    def draw(self, world: World, key: int) -> Graph:
        """Return the arcs of round `key`."""
        count = world.num_clients
        hops = max(1, (count - 1).bit_length())
        everyone = np.arange(count, dtype=np.int64)
        return directed(count, everyone, (everyone - (1 << (key - 1) % hops)) % max(1, count))


@dataclass(frozen=True, kw_only=True)
class RandomMatching(Topology):
    """Each round clients meet in random pairs; one stays alone when their number is odd."""

    changes: ClassVar[bool] = True
    sparse: ClassVar[bool] = True

    kind: Literal["random_matching"] = "random_matching"

    def draw(self, world: World, key: int) -> Graph:
        """Return the pairs of round `key`."""
        order = rng.stream(world.seed, "topology", key).permutation(world.num_clients).astype(np.int64)
        return undirected(world.num_clients, order[: len(order) // 2 * 2].reshape(-1, 2))


AnyTopology = Annotated[
    Ring
    | Torus
    | Complete
    | Star
    | Path_
    | Hypercube
    | Regular
    | ErdosRenyi
    | WattsStrogatz
    | BarabasiAlbert
    | StochasticBlock
    | Edges
    | OnePeerExponential
    | RandomMatching
    | FreshRegular,
    Tagged("kind"),
]
