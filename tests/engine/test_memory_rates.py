"""`memory.of` through a scenario file: what the papers remember when the learning rate changes, and what was sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.cli import main
from fedsim.engine.run.run import resume
from fedsim.scenario import from_dict, scenario_hash

FALLING = """
name: falling
rounds: 40
data: {{dataset: quadratic, centers: [[-1.0], [1.0]]}}
model: {{name: point, init: [0.3]}}
client: {{local_steps: 1, lr: 0.5, lr_decay: 0.9}}
participation: {{kind: schedule, cohorts: {cohorts}}}
strategy: {{name: {strategy}}}
{memory}
"""
COHORTS = [[0, 1], *[[0]] * 39]

# Both clients in round 1, then client 0 alone, one step each. By an independent loop over the papers' recurrences:
# gradients remembered (MIFA's Algorithm 1, FedVARP's Algorithm 2 with |S| as it is), or deltas as they were sent.
ENDS = {
    ("mifa", ""): -0.25761,
    ("fedvarp", ""): -0.23984,
    ("mifa", "memory: {of: gradient}"): -0.25761,
    ("mifa", "memory: {of: update}"): 3.84926,
    ("fedvarp", "memory: {of: update}"): 3.96900,
}
WORLD: dict[str, Any] = {
    "name": "falling",
    "seed": 5,
    "rounds": 8,
    "data": {"dataset": "digits", "clients": 12, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "linear"},
    "client": {"local_steps": 2, "batch_size": 16, "lr": 0.2, "lr_decay": 0.8},
    "participation": {"kind": "bernoulli", "probabilities": {"law": "uniform", "low": 0.2, "high": 0.9}},
    "strategy": {"name": "fedvarp"},
    "evaluate": {"every": 100},
}
IP = {"name": "fedvarp", "normalise": "inverse_probability"}


def sha(run: Any) -> str:
    return str(run.summary["params_sha256"])


@pytest.mark.parametrize(("strategy", "memory"), ENDS)
def test_a_falling_rate_ends_where_the_recurrence_ends(strategy: str, memory: str, tmp_path: Path) -> None:
    file = tmp_path / "falling.yaml"
    file.write_text(FALLING.format(cohorts=COHORTS, strategy=strategy, memory=memory))
    assert main(["run", str(file), "--out", str(tmp_path / "run"), "--quiet"]) == 0
    with np.load(tmp_path / "run" / "params.npz") as params:
        assert params["point"].item() == pytest.approx(ENDS[strategy, memory], abs=5e-6)


@pytest.mark.parametrize("strategy", ["mifa", "fedvarp", "fedar"])
def test_a_schedule_of_the_same_rates_stays_within_the_hull_too(strategy: str, tmp_path: Path) -> None:
    file = tmp_path / "falling.yaml"
    text = FALLING.replace("lr_decay: 0.9", "schedule: {{kind: step, every: 1, factor: 0.9}}")
    file.write_text(text.format(cohorts=COHORTS, strategy=strategy, memory=""))
    assert main(["run", str(file), "--out", str(tmp_path / "run"), "--quiet"]) == 0
    with np.load(tmp_path / "run" / "params.npz") as params:
        end = params["point"].item()
    assert end == pytest.approx(ENDS.get((strategy, ""), end), abs=5e-6)
    assert -1 <= end <= 0.3  # between the centers, nearer to the one who stays


def test_fedstale_keeps_what_was_sent_unless_told_otherwise(tmp_path: Path) -> None:
    stale = {"name": "fedstale", "beta": 1}
    by_default = fedsim.run({**WORLD, "strategy": stale}, out=tmp_path / "default")
    update = fedsim.run({**WORLD, "strategy": IP}, out=tmp_path / "varp", memory={"of": "update"})
    gradient = fedsim.run({**WORLD, "strategy": stale}, out=tmp_path / "gradient", memory={"of": "gradient"})
    varp = fedsim.run({**WORLD, "strategy": IP}, out=tmp_path / "varp-default")
    assert sha(by_default) == sha(update)
    assert sha(gradient) == sha(varp)
    assert sha(by_default) != sha(varp)


@pytest.mark.parametrize("strategy", [{"name": "mifa"}, {"name": "fedvarp"}, IP, {"name": "fedstale"}], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_running_mean_does_not_drift_while_the_rate_falls(
    strategy: dict[str, Any], dtype: str, tmp_path: Path
) -> None:
    memory = {"of": "gradient", "dtype": dtype, "audit": 2}
    run = fedsim.run({**WORLD, "strategy": strategy, "memory": memory, "rounds": 24}, out=tmp_path / "run")
    drift = run.rounds.query("metric == 'memory_drift'").value
    assert len(drift) == 12
    assert drift.max() < 1e-12


def test_a_resumed_run_uses_memories_at_the_same_rates(tmp_path: Path) -> None:
    from fedsim.engine.run.run import resume

    saved = {**WORLD, "checkpoint": {"every": 4}}
    fedsim.run(saved, out=tmp_path / "parts", rounds=4)
    whole = fedsim.run(saved, out=tmp_path / "whole")
    assert sha(resume(tmp_path / "parts", rounds=8)) == sha(whole)


def test_tiers_change_no_bit_while_the_rate_falls(tmp_path: Path) -> None:
    ram, disk = (fedsim.run(WORLD, out=tmp_path / tier, memory__tier=tier) for tier in ("ram", "disk"))
    assert sha(ram) == sha(disk)


@pytest.mark.ray
def test_hosts_change_no_bit_while_the_rate_falls(cluster: str, tmp_path: Path) -> None:
    serial = fedsim.run(WORLD, out=tmp_path / "serial")
    engine = {"kind": "ray", "hosts": 2, "address": cluster}
    assert sha(fedsim.run({**WORLD, "engine": engine}, out=tmp_path / "ray")) == sha(serial)


def test_a_probe_sees_memories_as_the_run_uses_them(tmp_path: Path) -> None:
    probed = {**WORLD, "strategy": IP, "probe": {"every": 8, "draws": 50, "betas": [1.0, 1.5]}}
    found = fedsim.run(probed, out=tmp_path / "run").summary["probe"]
    raw = fedsim.run(probed, out=tmp_path / "raw", memory={"of": "update"}).summary["probe"]
    assert found["this"] == found["fedvarp_inverse_probability"] == found["fedstale_1"]
    assert found["this"]["bias2_exact"] <= 1e-12 * (1 + found["this"]["variance_exact"])
    assert found["this"]["variance_exact"] < raw["this"]["variance_exact"]
    assert found["fedstale_1.5"]["variance_exact"] > 0


def test_the_hash_tells_apart_what_gives_other_bits() -> None:
    hashes = {
        (of, decay): scenario_hash(
            from_dict({**WORLD, "memory": {} if of is None else {"of": of}}, [f"client.lr_decay={decay}"])
        )
        for of in (None, "gradient", "update")
        for decay in (0.8, 1.0)
    }
    assert hashes[None, 1.0] == hashes["gradient", 1.0] == hashes["update", 1.0]
    assert hashes[None, 0.8] == hashes["gradient", 0.8] != hashes["update", 0.8]


def test_a_rate_that_falls_to_zero_ends_the_motion(tmp_path: Path) -> None:
    vanishing = {**WORLD, "client": {**WORLD["client"], "lr_decay": 1e-40}}
    ten, more = (fedsim.run(vanishing, out=tmp_path / str(rounds), rounds=rounds) for rounds in (10, 14))
    assert sha(ten) == sha(more)
    assert more.status == "completed"


def test_a_folder_of_version_one_goes_on_as_it_began(tmp_path: Path) -> None:
    # version one knew no `memory.of`, and remembered what was sent: its note and its scenario do not name the key
    saved = {**WORLD, "checkpoint": {"every": 4}, "memory": {"of": "update"}}
    whole = fedsim.run(saved, out=tmp_path / "whole", rounds=12)
    half = fedsim.run(saved, out=tmp_path / "half")
    note, scenario = half.folder / ".run.json", half.folder / "scenario.yaml"
    said = json.loads(note.read_text())
    del said["scenario"]["memory"]["of"]
    note.write_text(json.dumps(said))
    scenario.write_text(scenario.read_text().replace("  of: update\n", ""))
    (half.folder / "summary.json").unlink()
    assert sha(resume(half.folder, rounds=12)) == sha(whole)
