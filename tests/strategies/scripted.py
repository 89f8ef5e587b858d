"""Prescribed deltas through the real Flower strategy, real messages and real nodes: only the training is scripted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict

from fedsim.clients.kernels import LaneResult
from fedsim.clients.memory import Memory
from fedsim.clients.node import Node
from fedsim.core import ClientHalf, Cohort, Layout, Population, Rule
from fedsim.engine.nodes.grid import NodeGrid
from fedsim.strategies.flower import arrays, codec
from fedsim.strategies.flower.adapter import RuleStrategy
from fedsim.strategies.flower.coordinator import RoundResult

Deltas = Callable[[int, int], Sequence[float]]


class ScriptedTrainer:
    """Returns delta(round, client) whatever the parameters; one client a lane.

    What a correction adds to gradients is taken in two steps of rate 0.1, with half of the delta before each.
    """

    carries = False

    def __init__(self, deltas: Deltas, size: int) -> None:
        self.deltas = deltas
        self.layout = Layout(("w",), ((size,),))

    def rate(self, round: int) -> float:
        return 0.1

    def gradient(self, params: Any, clients: Any) -> Any:
        return np.stack([params - np.float32(client) for client in clients])

    def fisher(self, params: Any, deltas: Any, clients: Any) -> Any:
        return np.ones(deltas.shape, np.float32)

    def way(self, round: int, steps: Any) -> Any:
        return 0.1 * steps

    def lanes(
        self, params: Any, clients: Any, round: int, given: Any = None, foreign: Any = None
    ) -> Iterator[LaneResult]:
        for client in clients:
            delta = np.array([self.deltas(round, int(client))], np.float32)
            if given is not None:
                beside = given(np.array([client]))
                shift = 0.0 if beside.shift is None else 0.1 * beside.shift
                away = delta / 2 - shift
                delta = beside.rate * (delta - 2 * shift - 0.1 * beside.pull * away)
                delta = (delta if beside.start is None else delta + beside.start - params).astype(np.float32)
            yield LaneResult(np.array([client]), delta, np.zeros(1), np.full(1, 2), np.ones(1, np.int64))


class ScriptedGrid(NodeGrid):
    """Nodes with scripted training; `order` shuffles the order in which replies come back."""

    def __init__(
        self,
        deltas: Deltas,
        size: int,
        nodes: int,
        dtype: Any = "float32",
        order: Callable[[list[Any]], list[Any]] = list,
        halves: Sequence[ClientHalf] = (),
    ) -> None:
        super().__init__(nodes)
        trainer: Any = ScriptedTrainer(deltas, size)
        names = ["delta", *(name for half in halves for name in half.memories)]
        self.nodes = [
            Node(k, trainer, {name: Memory(size, dtype, name=name) for name in names}, halves=halves)
            for k in range(nodes)
        ]
        self.order = order
        self.waiting: dict[str, tuple[int, RecordDict]] = {}

    def submit(self, batch: dict[str, Message]) -> None:
        self.waiting.update({key: (self.node_of(m), m.content) for key, m in batch.items()})

    def gather(self, message_ids: Sequence[str]) -> dict[str, RecordDict]:
        calls = {key: self.waiting.pop(key) for key in message_ids}
        return {
            key: codec.encode_reply(self.nodes[node].train(codec.decode_task(content)))
            for key, (node, content) in calls.items()
        }

    def pull_messages(self, message_ids: Any) -> Any:
        return self.order(list(super().pull_messages(message_ids)))

    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        return {node: getattr(self.nodes[node], method)(*given) for node, given in arguments.items()}

    def describe(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass


def population(
    count: int, probabilities: Sequence[float] | None = None, weights: Sequence[float] | None = None
) -> Population:
    return Population(
        np.ones(count, np.int64),
        np.full(count, 1.0 / count) if weights is None else np.asarray(weights, np.float64),
        None if probabilities is None else np.asarray(probabilities, np.float64),
    )


def play(
    rule: Rule,
    people: Population,
    cohorts: Sequence[Sequence[int]],
    deltas: Deltas,
    *,
    size: int = 1,
    nodes: int = 2,
    start: Sequence[float] | None = None,
    **grid_options: Any,
) -> tuple[list[np.ndarray[Any, Any]], RuleStrategy, ScriptedGrid]:
    """Return the parameters after each round, the strategy and the grid."""
    strategy = RuleStrategy(
        rule,
        people,
        lambda round: np.array(cohorts[(round - 1) % len(cohorts)], np.int64),
        nodes,
        coarse=grid_options.get("dtype", "float32") != "float32",
    )
    halves = [half for half in (rule, rule.corrected_by()) if half is not None and not half.idle]
    grid = ScriptedGrid(deltas, size, nodes, halves=halves, **grid_options)
    strategy.begin(np.zeros(size, np.float32) if start is None else np.asarray(start, np.float32))
    return advance(strategy, grid, range(1, len(cohorts) + 1)), strategy, grid


def advance(strategy: RuleStrategy, grid: NodeGrid, rounds: range) -> list[np.ndarray[Any, Any]]:
    seen = []
    for round in rounds:
        play_on(strategy, grid, round)
        assert strategy.state is not None
        seen.append(strategy.state.params.copy())
    return seen


def play_on(strategy: RuleStrategy, grid: NodeGrid, round: int) -> RoundResult:
    """Play one more round; return what it came to."""
    assert strategy.state is not None
    model = arrays.record(params=strategy.state.params)
    messages = strategy.configure_train(round, model, ConfigRecord(), grid)
    return strategy.conclude(round, grid.send_and_receive(messages))


def from_table(table: Mapping[int, Mapping[int, float]]) -> Deltas:
    """Read deltas off {round: {client: delta}} of scalars."""
    return lambda round, client: [table[round][client]]


def round_of(cohort: Sequence[int], number: int = 1) -> Cohort:
    return Cohort(number, np.array(cohort, np.int64))
