"""A real Flower deployment over loopback: SuperLink, ServerApp and four SuperNodes as processes, one client each."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fedsim
from tests.cluster.namespaces import BIN, Machine, Network, network

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]
ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1:39091"
THERE = f'[superlink]\ndefault = "there"\n[superlink.there]\naddress = "{ADDRESS}"\ninsecure = true\n'
WORLD: dict[str, Any] = {
    "name": "deployed",
    "seed": 3,
    "rounds": 3,
    "data": {"dataset": "digits", "clients": 4, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "linear"},
    "client": {"local_epochs": 1, "batch_size": 16, "lr": 0.1},
    "participation": {"kind": "schedule", "cohorts": [[0, 1, 2, 3], [0, 2], [1, 2]]},
    "strategy": {"name": "fedstale", "probabilities": [0.5, 0.5, 0.5, 0.5]},
}


@pytest.fixture
def machine() -> Iterator[Machine]:
    """One machine apart from all others, so that fixed ports are free."""
    with network() as net:
        home = net.folder / "home"
        home.mkdir()
        (home / "config.toml").write_text(THERE)
        net.environment |= {"FLWR_HOME": str(home), "FLWR_DISABLE_UPDATE_CHECK": "1"}
        net.environment["PATH"] = f"{BIN}:{net.environment['PATH']}"
        yield net.machine("all")


def _superlink(machine: Machine, *options: str) -> None:
    command = [BIN / "flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", "39091", *options]
    machine.start(*command, "--disable-runtime-dependency-installation", stdout=subprocess.DEVNULL)
    answers = f"until (echo > /dev/tcp/{ADDRESS.replace(':', '/')}) 2> /dev/null; do sleep 0.2; done"
    machine.start("timeout", 60, "bash", "-c", answers).communicate()


def _supernode(machine: Machine, part: int, port: int) -> subprocess.Popen[str]:
    where = ["--superlink", ADDRESS, "--port", 9100 + port]
    config = f"partition-id={part} num-partitions=4"
    command = [BIN / "flower-supernode", "--insecure", *where, "--node-config", config]
    return machine.start(*command, stdout=subprocess.DEVNULL)


def _run(machine: Machine, name: str, scenario: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
    (folder / "s.yaml").write_text(json.dumps(scenario))
    config = f'scenario="{folder / "s.yaml"}" out="{folder / "run"}"'
    return machine.start(BIN / "flwr", "run", ROOT, name, "--stream", "--run-config", config)


def _summary(run: subprocess.Popen[str], folder: Path, net: Network) -> Any:
    told, _ = run.communicate()
    summary = folder / "run" / "summary.json"
    assert summary.exists(), told + (net.folder / "log").read_text()
    return json.loads(summary.read_text())


def test_flwr_run_in_flowers_simulation_gives_the_bits_of_one_process(machine: Machine, tmp_path: Path) -> None:
    serial = fedsim.run(WORLD, engine__kind="serial", out=tmp_path / "serial").summary
    (Path(machine.net.environment["FLWR_HOME"]) / "config.toml").unlink()  # Flower writes its own, with two SuperNodes
    _superlink(machine, "--simulation")
    summary = _summary(_run(machine, "local", WORLD, tmp_path), tmp_path, machine.net)
    assert summary["engine"] == {**serial["engine"], "kind": "flower"}
    assert summary["params_sha256"] == serial["params_sha256"]


def test_four_supernodes_give_the_bits_of_one_process_one_of_them_killed_and_one_joining_late(
    machine: Machine, tmp_path: Path
) -> None:
    serial = fedsim.run(WORLD, out=tmp_path / "serial").summary
    _superlink(machine)
    nodes = [_supernode(machine, part, part) for part in range(3)]
    run = _run(machine, "there", WORLD, tmp_path)
    _supernode(machine, 3, 3)  # joins when the run is already waiting for it
    rounds = tmp_path / "run" / "rounds.csv"
    watch = f"until test -s {rounds} && test $(wc -l < {rounds}) -ge 2; do sleep 0.2; done"
    machine.start("timeout", 300, "bash", "-c", watch).communicate()  # round 1 is done
    nodes[2].kill()
    _supernode(machine, 2, 4)
    summary = _summary(run, tmp_path, machine.net)
    assert summary["status"] == "completed"
    assert summary["params_sha256"] == serial["params_sha256"]
