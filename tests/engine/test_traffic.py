"""What a round sends is what docs/scaling.md says: by nodes, parameters and sums; not by clients, not by hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fedsim

D = 64 * 10 + 10
WORLD: dict[str, Any] = {
    "name": "traffic",
    "seed": 3,
    "rounds": 3,
    "data": {"dataset": "digits", "clients": 12, "partition": {"kind": "iid"}},
    "model": {"name": "linear"},
    "client": {"local_steps": 1, "batch_size": 8, "lr": 0.1},
    "participation": {"kind": "schedule", "cohorts": [[0, 1, 2, 3, 4, 5], [0, 3, 6], []]},
    "strategy": {"name": "fedavg"},
}
ENGINE = {"kind": "serial", "nodes": 3}
BUSY = [3, 1, 0]
"""Nodes with participants, round by round: client i lives on node i mod 3."""
COHORTS = [6, 3, 0]


def _expected(sums: int) -> tuple[list[float], list[float]]:
    sent = [nodes * (4 * D + 8 * D * sums) + 8 * clients for nodes, clients in zip(BUSY, COHORTS, strict=True)]
    return [2.0 * nodes for nodes in BUSY], [float(count) for count in sent]


def _measured(run: fedsim.Run) -> tuple[list[float], list[float]]:
    rows = run.rounds.sort_values("round")
    messages, sent = (rows[rows.metric == name].value.tolist() for name in ("messages", "wire_bytes"))
    return messages, sent


@pytest.mark.parametrize(("name", "sums"), [("fedavg", 1), ("fedstale", 3)])
def test_messages_and_bytes_follow_nodes_parameters_and_sums(name: str, sums: int, tmp_path: Path) -> None:
    known = {"probabilities": [0.5] * 12} if name == "fedstale" else {}
    run = fedsim.run(WORLD | {"strategy": {"name": name, **known}, "engine": ENGINE}, out=tmp_path / "run")
    assert _measured(run) == _expected(sums)


def test_more_clients_a_node_cost_eight_bytes_each(tmp_path: Path) -> None:
    crowd = {"kind": "schedule", "cohorts": [list(range(12))]}
    run = fedsim.run(WORLD | {"participation": crowd, "rounds": 1, "engine": ENGINE}, out=tmp_path / "run")
    assert _measured(run) == ([6.0], [3 * (4 * D + 8 * D) + 8.0 * 12])


@pytest.mark.ray
def test_the_number_of_hosts_changes_neither_messages_nor_bytes(cluster: str, tmp_path: Path) -> None:
    for hosts in (1, 2, 3):
        engine = {"kind": "ray", "nodes": 3, "hosts": hosts, "address": cluster}
        run = fedsim.run(WORLD | {"engine": engine}, out=tmp_path / str(hosts))
        assert _measured(run) == _expected(1)
