"""The same scenario under Flower's own simulation: the same bits, memories in `Context.state`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.clients.memory import Memory
from fedsim.core import ScenarioError

WORLD: dict[str, Any] = {
    "name": "flower",
    "seed": 3,
    "rounds": 5,
    "data": {"dataset": "digits", "clients": 13, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "mlp", "hidden": [8]},
    "client": {"local_epochs": 1, "batch_size": 8, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": 0.4},
    "faults": {"crash": 0.2},
    "on_client_error": "drop",
}
FLOWER = {"kind": "flower"}


def _run(scenario: dict[str, Any], out: Path) -> Any:
    """Run as the command line does, in a process of its own: what Ray leaves open there is none of our warnings."""
    out.with_suffix(".json").write_text(json.dumps(scenario))
    return _fedsim("run", out.with_suffix(".json"), "--out", out)


def _fedsim(*words: Any) -> Any:
    done = subprocess.run([sys.executable, "-m", "fedsim", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    folder = Path(words[-1] if words[0] == "run" else words[1])
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("name", ["fedavg", "fedvarp", "fedstale", "fedau", "mifa"])
def test_flowers_own_engine_gives_the_bits_of_one_process(name: str, tmp_path: Path) -> None:
    scenario = WORLD | {"strategy": {"name": name}}
    serial = fedsim.run(scenario, out=tmp_path / "serial").summary
    flower = _run(scenario | {"engine": FLOWER}, tmp_path / "flower")
    assert flower["engine"]["kind"] == "flower"
    for key in ("params_sha256", "schedule_hash", "final", "rounds"):
        assert flower[key] == serial[key], key


@pytest.mark.ray
@pytest.mark.slow
def test_a_run_under_flower_goes_on_from_its_checkpoint_with_the_memories(tmp_path: Path) -> None:
    scenario = WORLD | {"strategy": {"name": "fedstale"}, "checkpoint": {"every": 2}, "evaluate": {"every": 2}}
    whole = fedsim.run(scenario, out=tmp_path / "whole", rounds=7).summary
    _run(scenario | {"engine": FLOWER, "rounds": 4}, tmp_path / "run")
    resumed = _fedsim("resume", tmp_path / "run", "--rounds", "7")
    assert resumed["rounds"] == 7
    assert resumed["params_sha256"] == whole["params_sha256"]


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"strategy": {"name": "gossip"}}, "engine.kind: Flower's engine sends models to the server only"),
        ({"probe": {"every": 1}}, "probe: asks nodes for what Flower's engine does not carry"),
        ({"memory": {"tier": "disk"}}, "memory.tier: Flower keeps memories in Context.state"),
    ],
)
def test_what_flowers_engine_cannot_do_is_refused(extra: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=said):
        fedsim.run({**WORLD, "strategy": {"name": "fedstale"}, "engine": FLOWER, **extra}, out=tmp_path / "run")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_memory_is_the_same_after_a_snapshot_pending_writes_included(dtype: Any) -> None:
    memory = Memory(3, dtype)
    memory.open(1)
    memory.write(np.array([4, 2]), np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    memory.open(2)
    memory.write(np.array([2]), np.array([[7, 8, 9]], np.float32))
    for reopened, expected in ((2, [4, 5, 6]), (3, [7, 8, 9])):  # the round once more, or the next one
        other = Memory(3, dtype)
        other.take(memory.snapshot())
        other.open(reopened)
        assert other.read(np.array([2]))[1].tolist() == [expected]
        assert other.num_clients == 2
