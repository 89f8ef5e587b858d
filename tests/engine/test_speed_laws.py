"""Speed must cost nothing: lanes agree with the plain loop, bits do not move, and nothing piles up."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.api import read
from fedsim.engine.nodes.hosted import deal
from fedsim.engine.ray import hosts as ray_hosts
from fedsim.engine.ray.grid import RayGrid
from fedsim.engine.run.run import execute

SIZES = (3, 17, 8, 1, 30, 12, 5, 9)
"""Examples of each client: unequal, so that steps and last batches differ; in odd company with a batch of 8."""
MODELS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "linear": ((20,), {"name": "linear"}),
    "mlp": ((20,), {"name": "mlp", "hidden": [16, 8]}),
    "lenet": ((1, 12, 12), {"name": "lenet"}),
    "cnn": ((1, 8, 8), {"name": "cnn", "channels": [4, 6], "dense": [10]}),
    "resnet18-gn": ((3, 8, 8), {"name": "resnet18-gn"}),
}


def scenario(folder: Path, model: str, **more: Any) -> dict[str, Any]:
    shape, config = MODELS[model]
    stream = np.random.default_rng(0)
    x = stream.standard_normal((sum(SIZES), *shape), dtype=np.float32)
    y = stream.integers(0, 10, len(x))
    y[:10] = range(10)
    path = folder / f"{model}.npz"
    np.savez(path, x=x, y=y, x_test=x[:5], y_test=y[:5], client=np.repeat(np.arange(len(SIZES)), SIZES))
    return {
        "name": "laws",
        "rounds": 1,
        "data": {"dataset": "npz", "path": str(path), "partition": {"kind": "natural", "column": "client"}},
        "model": config,
        "client": {"local_epochs": 1, "batch_size": 8, "lr": 0.05},
        **more,
    }


def params(folder: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    with np.load(folder / "params.npz") as file:
        return np.concatenate([file[name].ravel() for name in file.files])


@pytest.mark.parametrize(
    "options", [{}, {"momentum": 0.9, "weight_decay": 0.01, "proximal_mu": 0.1}], ids=["sgd", "all"]
)
@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=pytest.mark.slow if name.startswith("resnet") else ()) for name in MODELS]
)
def test_one_round_in_lanes_equals_one_round_client_by_client(
    model: str, options: dict[str, float], tmp_path: Path
) -> None:
    source = scenario(tmp_path, model)
    for lane in (1, 3):
        work = {**source["client"], **options, "lane": lane}
        run = fedsim.run(source | {"client": work}, out=tmp_path / str(lane))
        assert run.summary["engine"]["training"].startswith("sequential" if lane == 1 else ("stack", "vmap"))
    alone, together = params(tmp_path / "1"), params(tmp_path / "3")
    assert np.linalg.norm(together - alone) <= 1e-5 * np.linalg.norm(alone)
    assert not np.array_equal(together, np.zeros_like(together))


def test_the_chosen_path_is_in_the_log_and_in_the_summary(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "fedsim"):
        run = fedsim.run(scenario(tmp_path, "mlp"), out=tmp_path / "run")
    told = run.summary["engine"]["training"]
    assert told.startswith("stack, ")
    assert f"training: {told}" in caplog.messages


@pytest.mark.ray
def test_lanes_that_split_a_node_change_no_bit_with_the_number_of_hosts(cluster: str, tmp_path: Path) -> None:
    work = {"local_steps": 3, "batch_size": 8, "lr": 0.05, "lane": 2}
    source = scenario(tmp_path, "cnn", client=work, rounds=4)
    source |= {"participation": {"kind": "uniform", "size": 7}}
    serial = source | {"engine": {"kind": "serial", "nodes": 3}}
    found = {fedsim.run(serial, out=tmp_path / "serial").summary["params_sha256"]}
    for hosts in (1, 2):
        engine = {"kind": "ray", "nodes": 3, "hosts": hosts, "address": cluster}
        found.add(fedsim.run(source | {"engine": engine}, out=tmp_path / str(hosts)).summary["params_sha256"])
    assert len(found) == 1


def test_work_is_dealt_so_that_the_busiest_host_has_little_more_than_its_share() -> None:
    stream = np.random.default_rng(0)
    for _ in range(50):
        costs = dict(enumerate(stream.exponential(size=9).tolist()))
        loads = [sum(costs[node] for node in nodes) for nodes in deal(costs, 3)]
        assert max(loads) <= max(4 / 3 * sum(loads) / 3, max(costs.values()) * 1.5)


@pytest.mark.ray
@pytest.mark.parametrize(("strategy", "moves"), [("fedavg", True), ("mifa", False)])
def test_a_round_is_dealt_anew_unless_memories_bind_clients_to_hosts(
    strategy: str, moves: bool, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, list[int]]] = []
    gather = RayGrid.gather

    def watched(grid: RayGrid, message_ids: Sequence[str]) -> Any:
        contents = gather(grid, message_ids)
        seen.append(grid.served)
        return contents

    monkeypatch.setattr(RayGrid, "gather", watched)
    source = scenario(tmp_path, "linear", rounds=8, strategy={"name": strategy})
    source |= {"participation": {"kind": "uniform", "size": 5}}
    engine = {"kind": "ray", "nodes": 6, "hosts": 2, "address": cluster}
    fedsim.run(source | {"engine": engine}, out=tmp_path / "run")
    hosts_of = [
        {node in served["host-0"] for served in seen if node in {*served["host-0"], *served["host-1"]}}
        for node in range(6)
    ]
    assert any(len(places) > 1 for places in hosts_of) is moves


@pytest.mark.ray
@pytest.mark.parametrize("boards", [True, False])
def test_what_a_round_puts_into_the_object_store_is_freed(
    boards: bool, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(ray_hosts, "available", lambda: boards)

    counts: list[int] = []

    def at(point: str, round: int) -> None:
        if point == "choose":
            counts.append(len(ray._private.worker.global_worker.core_worker.get_all_reference_counts()))

    source = scenario(tmp_path, "mlp", rounds=12)
    source |= {"model": {"name": "mlp", "hidden": [1024]}}  # 127 KB: travels apart from the messages
    source |= {"engine": {"kind": "ray", "hosts": 2, "address": cluster}}
    execute(read(source, {}), out=tmp_path / "run", at=at)
    assert len(counts) == 12
    assert counts[-1] <= max(counts[2:6])
