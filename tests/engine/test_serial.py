"""The serial grid, which is the specification: fixed nodes, answers in the order asked, repetitions without effect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message

from fedsim.api import read
from fedsim.engine.experiment import Experiment, build
from fedsim.engine.nodes.grid import NodeGrid
from fedsim.engine.run.open import open_grid
from fedsim.strategies.flower import arrays
from fedsim.strategies.flower.adapter import RuleStrategy

SCENARIO: dict[str, Any] = {
    "name": "grid",
    "seed": 2,
    "rounds": 4,
    "data": {"dataset": "digits", "clients": 11, "partition": {"kind": "dirichlet", "alpha": 0.5}},
    "model": {"name": "linear"},
    "client": {"local_steps": 2, "batch_size": 8, "lr": 0.2},
    "participation": {"kind": "schedule", "cohorts": [[0, 1, 3, 6, 9], [1, 5], [], [0, 2, 3]]},
    "strategy": {"name": "fedstale", "probabilities": "estimated"},
    "engine": {"kind": "serial", "nodes": 3},
}


class Server:
    """A strategy and a grid, driven message by message."""

    def __init__(self, experiment: Experiment, grid: NodeGrid) -> None:
        self.grid = grid
        self.strategy: RuleStrategy = experiment.strategy(experiment.environment())
        self.strategy.begin(experiment.trainer.initial())

    @property
    def params(self) -> bytes:
        assert self.strategy.state is not None
        return self.strategy.state.params.tobytes()

    def ask(self, round: int) -> list[Message]:
        assert self.strategy.state is not None
        model = arrays.record(params=self.strategy.state.params)
        return list(self.strategy.configure_train(round, model, ConfigRecord(), self.grid))


@pytest.fixture
def experiment() -> Experiment:
    return build(read(SCENARIO, {}))


@pytest.fixture
def server(experiment: Experiment, tmp_path: Path) -> Iterator[Server]:
    with open_grid(experiment, tmp_path) as grid:
        yield Server(experiment, grid)


def nodes(grid: NodeGrid, messages: list[Message]) -> list[int]:
    return [grid.node_of(message) for message in messages]


def test_only_nodes_with_participants_get_a_message(server: Server) -> None:
    assert nodes(server.grid, server.ask(1)) == [0, 1]  # 0, 3, 6, 9 live on node 0, 1 on node 1
    server.strategy.aggregate_train(1, server.grid.send_and_receive(server.ask(1)))
    assert nodes(server.grid, server.ask(2)) == [1, 2]
    server.strategy.aggregate_train(2, server.grid.send_and_receive(server.ask(2)))
    assert server.ask(3) == []


def test_node_ids_are_the_same_in_every_round_and_grid(server: Server) -> None:
    assert list(server.grid.get_node_ids()) == [1, 2, 3]


def test_replies_come_in_the_order_of_the_ids_asked_for(server: Server) -> None:
    ids = list(server.grid.push_messages(server.ask(1)))
    replies = list(server.grid.pull_messages(ids[::-1]))
    assert [reply.metadata.reply_to_message_id for reply in replies] == ids[::-1]


def test_the_order_in_which_replies_arrive_changes_no_bit(experiment: Experiment, tmp_path: Path) -> None:
    ends = []
    for turn in (1, -1):
        with open_grid(experiment, tmp_path) as grid:
            server = Server(experiment, grid)
            for round in range(1, 5):
                replies = list(grid.send_and_receive(server.ask(round)))
                server.strategy.aggregate_train(round, replies[::turn])
            ends.append(server.params)
    assert ends[0] == ends[1]


def test_a_round_asked_again_gives_the_same_reply_and_counts_once(experiment: Experiment, tmp_path: Path) -> None:
    ends = []
    for repetitions in (1, 3):
        with open_grid(experiment, tmp_path) as grid:
            server = Server(experiment, grid)
            for round in range(1, 5):
                for _ in range(repetitions):
                    replies = list(grid.send_and_receive(server.ask(round)))
                server.strategy.aggregate_train(round, replies)
            ends.append((server.params, grid.audit(experiment.population.weights).tobytes()))
    assert ends[0] == ends[1]


def test_the_mean_memory_at_the_server_is_that_of_the_memories(server: Server, experiment: Experiment) -> None:
    for round in range(1, 5):
        server.strategy.aggregate_train(round, server.grid.send_and_receive(server.ask(round)))
    assert server.strategy.state is not None
    audited = server.grid.audit(experiment.population.weights)
    np.testing.assert_allclose(server.strategy.state.rule.mean, audited, atol=1e-12)
    assert np.linalg.norm(audited) > 0.01
