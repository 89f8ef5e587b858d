"""What one round costs the driver as nodes and parameters grow: messages, bytes and seconds.

    python -m benchmarks.scaling

The nodes are there in name only: their replies are made beforehand, so that what is timed is the driver's own work,
writing the messages of a round and adding up what comes back. That is what must fit beside the training of all hosts.
A second table is of real runs on one, two and three hosts with three nodes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict

import fedsim
from fedsim.core import Population, Reply
from fedsim.engine.nodes.grid import NodeGrid
from fedsim.engine.round.measure import reply_bytes
from fedsim.strategies.fedstale import FedStale
from fedsim.strategies.flower import arrays, codec
from fedsim.strategies.flower.adapter import RuleStrategy

CASES = [(4, 10_000), (100, 10_000), (1_000, 10_000), (4, 1_000_000), (16, 1_000_000)]
"""Nodes, and parameters d. One client lives on each node, and all of them take part."""
ROUNDS = 5
CLIENTS, NODES, DIGITS = 60, 3, 64 * 10 + 10
"""Of the real runs: clients, nodes, parameters."""


class Echo(NodeGrid):
    """Nodes that answer at once with sums made beforehand."""

    def __init__(self, num_nodes: int, size: int) -> None:
        super().__init__(num_nodes)
        self.sums = np.random.default_rng(1).normal(size=size)
        self._tasks: dict[str, tuple[int, Any]] = {}

    def submit(self, batch: dict[str, Message]) -> None:
        """Note who was asked."""
        self._tasks.update({k: (self.node_of(m), codec.decode_task(m.content)) for k, m in batch.items()})

    def gather(self, message_ids: Sequence[str]) -> dict[str, RecordDict]:
        """Answer."""
        return {key: codec.encode_reply(self._reply(*self._tasks.pop(key))) for key in message_ids}

    def _reply(self, node: int, task: Any) -> Reply:
        statistics = {"clients": 1.0, "examples": 1.0, "loss": 1.0, "delta_square": 1.0}
        return Reply(node, task.round, task.clients, {name: self.sums.copy() for name in task.sums}, statistics)

    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """No node has anything to call."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Return nothing: this grid is in no summary."""
        return {}

    def close(self) -> None:
        """Nothing to release."""


def measure(nodes: int, size: int) -> tuple[float, float, float]:
    """Return messages, bytes and seconds of the driver in one round, the median over rounds."""
    population = Population(np.ones(nodes, np.int64), np.full(nodes, 1.0 / nodes), np.full(nodes, 0.5))
    strategy = RuleStrategy(FedStale(), population, lambda round: np.arange(nodes), nodes)
    strategy.begin(np.zeros(size, np.float32))
    grid, seconds, traffic = Echo(nodes, size), [], 0
    for round in range(1, ROUNDS + 1):
        began = time.perf_counter()
        assert strategy.state is not None
        model = arrays.record(params=strategy.state.params)
        sent = list(strategy.configure_train(round, model, ConfigRecord(), grid))
        asked = time.perf_counter()
        replies = list(grid.send_and_receive(sent))
        answered = time.perf_counter()
        outcome = strategy.conclude(round, replies)
        seconds.append(time.perf_counter() - answered + asked - began)
        traffic = reply_bytes(outcome.replies) + len(replies) * 4 * size
    return 2.0 * nodes, float(traffic), float(np.median(seconds))


def real(strategy: str, sums: int, hosts: int) -> tuple[float, float, int]:
    """Return messages and bytes of a round of a real run, and bytes by the formula: everybody takes part."""
    scenario = {
        "name": "traffic",
        "rounds": 3,
        "data": {"dataset": "digits", "clients": CLIENTS, "partition": {"kind": "iid"}},
        "model": {"name": "linear"},
        "client": {"local_steps": 1, "lr": 0.1},
        "strategy": {"name": strategy},
        "engine": {"kind": "ray", "nodes": NODES, "hosts": hosts},
    }
    with tempfile.TemporaryDirectory() as folder:
        rows = fedsim.run(scenario, out=Path(folder) / "run").rounds.query("round == 3").set_index("metric")["value"]
    return rows["messages"], rows["wire_bytes"], NODES * (4 + 8 * sums) * DIGITS + 8 * CLIENTS


def main() -> None:
    """Print the tables of docs/scaling.md."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    sys.stdout.write(
        "| nodes | d | messages | bytes | bytes by the formula | driver, ms |\n|--:|--:|--:|--:|--:|--:|\n"
    )
    for nodes, size in CASES:
        messages, traffic, seconds = measure(nodes, size)
        formula = nodes * size * (4 + 8 * 3)  # FedStale asks for two sums, the update's variance for one more
        row = (f"{nodes:,}", f"{size:,}", f"{messages:,.0f}", f"{traffic:,.0f}", f"{formula:,}", f"{seconds * 1e3:.1f}")
        sys.stdout.write("| " + " | ".join(row) + " |\n")
    sys.stdout.write("\n| strategy | hosts | messages | bytes | bytes by the formula |\n|---|--:|--:|--:|--:|\n")
    for strategy, sums in (("fedavg", 1), ("fedstale", 3)):
        for hosts in (1, 2, 3):
            sent, traffic, formula = real(strategy, sums, hosts)
            sys.stdout.write(f"| {strategy} | {hosts} | {sent:,.0f} | {traffic:,.0f} | {formula:,} |\n")


if __name__ == "__main__":
    main()
