"""Gossip on Ray hosts: the bits of one process, models that never come to the driver, a host that is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray

import fedsim
from fedsim.engine.gossip.ray_grid import RayPeerGrid

pytestmark = pytest.mark.ray

SCENARIO: dict[str, Any] = {
    "name": "gossip",
    "seed": 3,
    "rounds": 6,
    "data": {"dataset": "digits", "clients": 14, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "mlp", "hidden": [16, 16]},
    "client": {"local_steps": 2, "batch_size": 8, "lr": 0.1, "momentum": 0.5},
    "participation": {"kind": "bernoulli", "probabilities": 0.6},
    "faults": {"crash": 0.1},
    "on_client_error": "drop",
    "strategy": {
        "name": "gossip",
        "topology": {"kind": "fresh_regular", "degree": 4},
        "preset": "corrected",
        "edge_drop_fraction": 0.1,
    },
    "evaluate": {"every": 3},
}
TICKS = {"interval": [1, 3], "buffer": 2, "delay": {"kind": "uniform", "low": 0, "high": 2}, "loss": 0.1}
ONE_PROCESS = {"kind": "serial", "nodes": 5}


def hosts(count: int, cluster: str) -> dict[str, Any]:
    return {"kind": "ray", "nodes": 5, "hosts": count, "address": cluster}


@pytest.mark.slow
@pytest.mark.parametrize("ticks", [None, TICKS], ids=["rounds", "ticks"])
def test_any_number_of_hosts_gives_the_bits_of_one_process(ticks: Any, cluster: str, tmp_path: Path) -> None:
    scenario = {**SCENARIO, "strategy": {**SCENARIO["strategy"], "asynchronous": ticks}}
    serial = fedsim.run({**scenario, "engine": ONE_PROCESS}, out=tmp_path / "serial")
    for count in (1, 2, 3):
        run = fedsim.run({**scenario, "engine": hosts(count, cluster)}, out=tmp_path / f"ray-{count}")
        assert len(run.summary["engine"]["hosts"]) == count
        assert run.summary["params_sha256"] == serial.summary["params_sha256"]
        assert run.final == serial.final
        for metric in ("bytes_up", "bytes_down", "bytes_exchanged", "variance_merged.layers.0.weight", "num_crashed"):
            one, other = (list(r.rounds.query(f"metric == '{metric}'")["value"]) for r in (serial, run))
            assert one == other


def test_no_model_comes_to_the_driver(cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[int] = []
    send, collect = RayPeerGrid.send, RayPeerGrid._collect

    def counted_send(self: Any, job: Any) -> Any:
        passed.append(len(ray.cloudpickle.dumps(job.calls)))
        assert all(isinstance(reference, ray.ObjectRef) for reference in self.published)
        return send(self, job)

    def counted_collect(self: Any, job: Any) -> Any:
        replies, seconds, published = collect(self, job)
        passed.append(len(ray.cloudpickle.dumps(replies)))
        assert all(isinstance(reference, ray.ObjectRef) for reference in published)
        return replies, seconds, published

    monkeypatch.setattr(RayPeerGrid, "send", counted_send)
    monkeypatch.setattr(RayPeerGrid, "_collect", counted_collect)
    totals = []
    for width in (8, 800):
        passed.clear()
        scenario = {**SCENARIO, "model": {"name": "mlp", "hidden": [width]}, "engine": hosts(2, cluster)}
        run = fedsim.run(scenario, out=tmp_path / str(width))
        totals.append(sum(passed))
        assert len(passed) >= 2 * 2 * 6
    size = run.rounds.query("metric == 'bytes_exchanged'")["value"].sum()
    assert size > 1e7
    assert totals[1] < 1.05 * totals[0] + 1000
    assert max(passed) < 4 * 800 * 64  # one model is larger than anything that passed


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "phase"), [(0, "train.merge"), (1, "train.merge"), (1, "train")])
def test_a_lost_host_rolls_the_run_back_to_the_same_bits(
    victim: int, phase: str, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = {**SCENARIO, "checkpoint": {"every": 2}}
    serial = fedsim.run({**scenario, "engine": ONE_PROCESS}, out=tmp_path / "serial")
    struck: list[int] = []
    submit = RayPeerGrid.submit

    def strike(self: Any, batch: Any) -> None:
        kinds = {(message.metadata.group_id, message.metadata.message_type) for message in batch.values()}
        if ("4", phase) in kinds and not struck:
            struck.append(victim)
            ray.kill(self.hosts.actors[victim], no_restart=True)
        submit(self, batch)

    monkeypatch.setattr(RayPeerGrid, "submit", strike)
    run = fedsim.run({**scenario, "engine": hosts(2, cluster)}, out=tmp_path / "ray")
    assert struck
    assert run.summary["params_sha256"] == serial.summary["params_sha256"]
    assert run.final == serial.final
