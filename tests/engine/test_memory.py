"""Client memories: where they are, what they cost, and that neither changes a bit."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.core import CapacityError
from fedsim.metrics import RoundDone
from fedsim.metrics.events import Event
from fedsim.metrics.sinks.base import Sink
from fedsim.scenario import from_dict

D = 71 * 1409 + 10  # 100,049 parameters: 60 x 1409 + 1409 + 1409 x 10 + 10
LARGE: dict[str, Any] = {
    "name": "large memories",
    "seed": 1,
    "rounds": 5,
    "data": {"dataset": "synthetic", "clients": 10_000, "examples": 4},
    "model": {"name": "mlp", "hidden": [1409]},
    "client": {"local_steps": 1, "batch_size": 4, "lr": 0.1},
    "participation": {"kind": "uniform", "size": 100},
    "strategy": {"name": "fedvarp"},
    "evaluate": {"every": 100},
}
SMALL: dict[str, Any] = {
    **LARGE,
    "name": "small memories",
    "model": {"name": "linear"},
    "data": {"dataset": "digits", "clients": 20, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "participation": {"kind": "bernoulli", "probabilities": 0.4},
}


class Watch(Sink):
    """Notes how much Python's allocator has handed out after every round."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def write(self, events: Sequence[Event]) -> None:
        self.seen.extend(tracemalloc.get_traced_memory()[0] for event in events if isinstance(event, RoundDone))


@pytest.mark.ray
@pytest.mark.slow
def test_the_driver_holds_no_memories(cluster: str, tmp_path: Path) -> None:
    from fedsim.engine.run.run import execute

    watch = Watch()
    scenario = from_dict({**LARGE, "engine": {"kind": "ray", "hosts": 1, "address": cluster}})
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        execute(scenario, out=tmp_path / "run", sinks=[watch])
        settled = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(watch.seen) == LARGE["rounds"]
    assert watch.seen[-1] - watch.seen[0] < 20 * D * 4
    assert settled - before < 20 * D * 4 + 64 * 2**20  # modules loaded on the way are not the run's


PROGRAM = """
import json, sys, fedsim
run = fedsim.run(json.loads(sys.argv[1]), out=sys.argv[2])
with open("/proc/self/status") as lines:
    anonymous = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
print(json.dumps({"sha": run.summary["params_sha256"], "anonymous": anonymous}))
"""


def in_a_process(scenario: dict[str, Any], out: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(scenario), str(out)], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_memories_on_disk_take_no_memory_and_change_no_bit(tmp_path: Path) -> None:
    ram = in_a_process(LARGE, tmp_path / "ram")
    disk = in_a_process({**LARGE, "memory": {"tier": "disk"}}, tmp_path / "disk")
    assert disk["sha"] == ram["sha"]
    assert disk["anonymous"] < 1_000_000_000
    assert disk["anonymous"] < ram["anonymous"]


def test_disk_and_ram_give_the_same_bits(tmp_path: Path) -> None:
    ram = fedsim.run(SMALL, out=tmp_path / "ram")
    disk = fedsim.run(SMALL, out=tmp_path / "disk", memory__tier="disk")
    assert ram.summary["params_sha256"] == disk.summary["params_sha256"]
    assert ram.summary["scenario_hash"] == disk.summary["scenario_hash"]


@pytest.mark.parametrize("strategy", ["fedvarp", "fedstale", "mifa"])
def test_the_running_mean_does_not_drift_from_rounded_memories(strategy: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "strategy": {"name": strategy},
        "memory": {"dtype": "bfloat16", "audit": 4},
        "rounds": 24,
    }
    run = fedsim.run({**SMALL, **options}, out=tmp_path / "run")
    drift = run.rounds.query("metric == 'memory_drift'").value
    assert len(drift) == 6
    assert drift.max() < 1e-12


def test_rounded_memories_are_not_the_exact_ones(tmp_path: Path) -> None:
    exact = fedsim.run(SMALL, out=tmp_path / "exact")
    rounded = fedsim.run(SMALL, out=tmp_path / "rounded", memory__dtype="bfloat16")
    assert exact.summary["params_sha256"] != rounded.summary["params_sha256"]
    assert exact.summary["scenario_hash"] != rounded.summary["scenario_hash"]


def test_what_cannot_fit_is_refused_with_numbers_before_the_first_round(tmp_path: Path) -> None:
    huge = {
        **LARGE,
        "data": {"dataset": "synthetic", "clients": 1_000_000, "examples": 4},
        "participation": {"kind": "full"},
    }
    with pytest.raises(CapacityError, match=r"400\.2 GB on ram \(1,000,000 clients x 400,196 bytes\)") as refused:
        fedsim.run(huge, out=tmp_path / "run")
    assert refused.value.exit_code == 4
