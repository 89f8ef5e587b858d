"""Runs over several machines, each a network namespace: the bits of one process, also when a machine is cut off."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fedsim
from tests.cluster.namespaces import Network, lines, network

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]
DRIVER = Path(__file__).with_name("driver.py")
WORLD: dict[str, Any] = {
    "name": "machines",
    "seed": 3,
    "rounds": 8,
    "data": {"dataset": "digits", "clients": 13, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "mlp", "hidden": [8]},
    "client": {"local_epochs": 1, "batch_size": 8, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": 0.5},
    "checkpoint": {"every": 2},
}
HOLD = 5


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as opened:
        yield opened


def _drive(net: Network, scenario: dict[str, Any], folder: Path, hosts: Any, machines: int, hold: int = 0) -> Any:
    head = net.machines["head"]
    address = f"{head.address}:6379"
    engine = {"kind": "ray", "hosts": hosts, "address": address}
    (folder / "s.json").write_text(json.dumps(scenario | {"engine": engine}))
    return head.start(sys.executable, DRIVER, folder / "s.json", folder / "run", address, machines, hold)


def _summary(driver: Any, net: Network) -> Any:
    told = [" ".join(words[1:]) for words in lines(driver) if words[:1] == ["done"]]
    assert told, (net.folder / "log").read_text()
    return json.loads(told[0])


@pytest.mark.parametrize("name", ["fedavg", "fedstale"])
def test_a_machine_cut_off_in_the_middle_and_one_that_joins_late_change_no_bit(
    name: str, net: Network, tmp_path: Path
) -> None:
    scenario = WORLD | {"strategy": {"name": name}}
    net.head()
    net.worker("one")
    doomed = net.worker("two")
    driver = _drive(net, scenario, tmp_path, hosts=2, machines=3, hold=HOLD)
    serial = fedsim.run(scenario, out=tmp_path / "serial").summary
    assert next(lines(driver), None) == ["held"], (net.folder / "log").read_text()
    doomed.cut()
    driver.stdin.write("\n")
    driver.stdin.flush()
    net.worker("three")  # there is no place for the lost host before this one
    doomed.kill()
    summary = _summary(driver, net)
    assert summary["status"] == "completed"
    assert summary["params_sha256"] == serial["params_sha256"]
    assert summary["final"] == serial["final"]


def test_automatic_hosts_are_one_a_core_of_the_cluster_spread_over_its_machines(net: Network, tmp_path: Path) -> None:
    scenario = WORLD | {"strategy": {"name": "mifa"}}
    net.head()
    net.worker("one")
    net.worker("two")
    serial = fedsim.run(scenario, out=tmp_path / "serial").summary
    summary = _summary(_drive(net, scenario, tmp_path, hosts="auto", machines=3), net)
    assert summary["params_sha256"] == serial["params_sha256"]
    assert len(summary["engine"]["hosts"]) == summary["engine"]["machines"] == 2
