"""A token walks over a graph and repels itself: the client where it stands is the one that trains.

Hu, Doshi and Eun, "Accelerating distributed stochastic optimization via self-repellent random walks", ICLR 2024, arXiv
2401.09665 (SA-SRRW). With P the Metropolis walk on the graph, P_ij = 1 / max(d_i, d_j) for neighbours and the rest of
each row at P_ii, whose stationary law is uniform, mu_j = 1/N, and x_n the visits as they are remembered, x_0 = mu:

    K_ij[x] = P_ij (x_j / mu_j)^-alpha / sum_k P_ik (x_k / mu_k)^-alpha
    X_{n+1} ~ row X_n of K[x_n],      x_{n+1} = x_n + gamma_{n+1} (e_{X_{n+1}} - x_n),      gamma_n = (n + 1)^-gamma

Round n trains client X_n, the one that the token has just come to. For every x, K[x] is reversible with respect to
pi_i[x] proportional to mu_i r_i sum_j P_ij r_j, r = (x / mu)^-alpha. With `gamma: 1`, and P symmetric with eigenvalues
1 = l_1 > l_2 >= ... >= l_N, the visits spread as (the paper's Theorem 3.3, with mu uniform)

    T tr Cov(x_T)  ->  (1/N) sum_{k >= 2} (1 + l_k) / ((1 - l_k) (2 alpha (1 + l_k) + 1))

so that a larger alpha samples more evenly. Powers are taken in logarithms: a large alpha overflows nothing.

Several tokens share x: all move by the same K[x], then x moves towards the mean of their places. Two that meet make one
client of the cohort, and count twice in x. (The paper has one token.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Le

from fedsim.core import ScenarioError, World
from fedsim.core.contracts import Ids, Vector
from fedsim.core.rng import stream
from fedsim.graphs.graph import Graph
from fedsim.graphs.topology import AnyTopology, Edges, Ring
from fedsim.participation.config import Participation, prefixed

BLOCK = 1024
"""Steps whose draws are made together; where the walk stood at the start of each block is kept."""
NEVER = np.finfo(np.float64).tiny
"""What is left of x where the token has not been for so long that nothing is."""


class Steps:
    """The walk of self-repellence `alpha` on a graph, for any number of walkers at once."""

    def __init__(self, graph: Graph, alpha: float) -> None:
        degrees = graph.in_degrees
        places = np.arange(len(graph.receivers)) - np.repeat(np.cumsum(degrees) - degrees, degrees)
        width = int(degrees.max(initial=0)) + 1
        # each row: the neighbours, ascending, then the client itself; what is beyond has probability 0
        self.neighbours = np.repeat(np.arange(graph.num_clients)[:, None], width, axis=1)
        self.neighbours[graph.receivers, places] = graph.senders
        chances = np.zeros((graph.num_clients, width))
        chances[graph.receivers, places] = 1.0 / np.maximum(degrees[graph.receivers], degrees[graph.senders])
        chances[np.arange(graph.num_clients), degrees] = np.maximum(0.0, 1.0 - chances.sum(axis=1))
        chances[chances < 1e-12] = 0.0  # 1 - 3 (1/3) is not quite 0
        self.chances = chances
        with np.errstate(divide="ignore"):
            self._logs = np.log(chances)
        self._alpha = alpha

    def row(self, x: Vector, at: npt.NDArray[np.int64]) -> Vector:
        """Return row `at` of K[x], in the order of `neighbours`: x is (..., N), `at` (...), the row (..., width)."""
        there = self.neighbours[at]
        logs = self._logs[at] - self._alpha * np.log(np.maximum(np.take_along_axis(x, there, axis=-1), NEVER))
        weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
        row: Vector = weights / weights.sum(axis=-1, keepdims=True)
        return row

    def move(self, x: Vector, at: npt.NDArray[np.int64], numbers: Vector) -> npt.NDArray[np.int64]:
        """Return where walkers go by uniform numbers (...)."""
        reached = np.cumsum(self.row(x, at), axis=-1)
        # the sum of a row may end just below 1: the last place with a chance is the last that may be chosen
        limit = (self.chances[at] > 0) * np.arange(1, self.chances.shape[1] + 1)
        step = np.minimum((reached <= numbers[..., None]).sum(axis=-1), limit.max(axis=-1) - 1)
        return np.take_along_axis(self.neighbours[at], step[..., None], axis=-1)[..., 0]


class WalkProcess:
    """Where the tokens are in a round: found from the nearest earlier round whose state is known."""

    probabilities: None = None

    def __init__(self, seed: int, steps: Steps, tokens: int, gamma: float) -> None:
        self.seed, self.tokens, self.gamma = seed, tokens, gamma
        self._steps = steps
        count = len(steps.chances)
        at = stream(seed, "participation.walk.start").integers(count, size=tokens)
        self._starts = [(np.full(count, 1.0 / count), at.astype(np.int64))]  # before rounds 1, 1025, 2049, ...
        self._memo: tuple[int, Vector, Ids] = (0, *self._starts[0])
        self._numbers: tuple[int, Vector] = (-1, np.zeros((0, tokens)))

    @property
    def num_clients(self) -> int:
        """N."""
        return len(self._steps.chances)

    def cohort(self, round: int) -> Ids:
        """Return the clients that the tokens have come to."""
        return np.unique(self.state(round)[1])

    def state(self, round: int) -> tuple[Vector, Ids]:
        """Return x (N,) and the tokens' places after a round; after round 0, as they start."""
        block = min(max(0, round - 1) // BLOCK, len(self._starts) - 1)
        known, (x, at) = block * BLOCK, self._starts[block]
        if known <= self._memo[0] <= round:
            known, x, at = self._memo
        x = x.copy()
        for step in range(known + 1, round + 1):
            at = self._steps.move(np.broadcast_to(x, (self.tokens, len(x))), at, self._drawn(step))
            rate = (step + 1.0) ** -self.gamma
            x *= 1.0 - rate
            np.add.at(x, at, rate / self.tokens)
            if step % BLOCK == 0 and step // BLOCK == len(self._starts):
                self._starts.append((x.copy(), at))
        self._memo = (round, x, at)
        return x.copy(), at

    def _drawn(self, step: int) -> Vector:
        block, place = divmod(step - 1, BLOCK)
        if self._numbers[0] != block:
            drawn = stream(self.seed, "participation.walk", block).random((BLOCK, self.tokens))
            self._numbers = (block, drawn)
        row: Vector = self._numbers[1][place]
        return row


@dataclass(frozen=True, kw_only=True)
class Walk(Participation):
    """A token walks from neighbour to neighbour on a graph, and avoids where it has been often (SA-SRRW).

    The client where it arrives is alone in the round: with `strategy: {name: fedavg, normalise: participants}` and a
    `client.schedule` of kind power this is the paper's algorithm. alpha = 0 is the plain Metropolis walk. Nobody's
    probability of a round is known, only that all clients are visited equally often in the long run.
    """

    kind: Literal["walk"] = "walk"
    topology: AnyTopology = field(default_factory=Ring)
    """The graph: `{kind: ring}`, `{kind: regular, degree: 8}`, `{kind: edges, pairs: [[0, 1], ...]}`, as for gossip."""
    alpha: Annotated[float, Ge(0)] = 5.0
    """How much the token avoids clients that it has visited often; 0 for not at all."""
    tokens: Annotated[int, Ge(1)] = 1
    """How many tokens walk."""
    gamma: Annotated[float, Gt(0.5), Le(1)] = 0.8
    """Visit n moves what is remembered by (n + 1)^-gamma; 1 makes it the share of all visits."""

    def process(self, world: World) -> WalkProcess:
        """Return the process in a world."""
        self.check(world)
        return WalkProcess(world.seed, Steps(self._graph(world), self.alpha), self.tokens, self.gamma)

    def _graph(self, world: World) -> Graph:
        try:
            return self.topology.graph(world, 0)
        except ScenarioError as error:
            raise ScenarioError(f"participation.topology: {error}") from error

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for a graph that is another one in each round."""
        yield from prefixed("topology", self.topology.problems())
        if self.topology.changes:
            text = f"a token walks on one graph, and {self.topology.kind} is another one in each round"
            yield "topology.kind", text

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for a graph that does not fit the clients, or that the token cannot walk all over."""
        found = [*prefixed("topology", self.topology.problems_in(world))]
        yield from found
        if self.tokens > world.num_clients:
            yield "tokens", f"must not exceed the number of clients ({world.num_clients}), got {self.tokens}"
        if not found and isinstance(self.topology, Edges):
            try:
                self._graph(world)
            except ScenarioError as error:
                yield "topology", str(error).removeprefix("participation.topology: ")
