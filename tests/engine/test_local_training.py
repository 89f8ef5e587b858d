"""Local training by name through whole runs: hosts, resume and gossip give the bits of the plain run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.engine.run.run import resume
from fedsim.scenario import from_dict, scenario_hash

WORLD: dict[str, Any] = {
    "name": "local",
    "seed": 5,
    "rounds": 6,
    "data": {"dataset": "digits", "clients": 12, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "mlp", "hidden": [8]},
    "client": {
        "local_steps": 3,
        "batch_size": 16,
        "lr": 0.02,
        "optimizer": "adam",
        "betas": [0.8, 0.95],
        "clip_norm": 0.5,
        "schedule": {"kind": "inverse_sqrt", "offset": 2},
        "drop_last": True,
        "carry_batches": True,
        "augment": ["crop", "flip"],
    },
    "participation": {"kind": "bernoulli", "probabilities": {"law": "uniform", "low": 0.2, "high": 0.9}},
    "checkpoint": {"every": 3},
    "evaluate": {"every": 100},
}
GOSSIP = {**WORLD, "strategy": {"name": "gossip", "topology": {"kind": "ring"}}}


def sha(run: Any) -> str:
    return str(run.summary["params_sha256"])


@pytest.mark.parametrize("world", [WORLD, GOSSIP], ids=["server", "gossip"])
def test_a_resumed_run_ends_with_the_bits_of_the_whole(world: dict[str, Any], tmp_path: Path) -> None:
    fedsim.run(world, out=tmp_path / "parts", rounds=3)
    whole = fedsim.run(world, out=tmp_path / "whole")
    assert sha(resume(tmp_path / "parts", rounds=6)) == sha(whole)


@pytest.mark.ray
@pytest.mark.parametrize("world", [WORLD, GOSSIP], ids=["server", "gossip"])
def test_hosts_end_with_the_bits_of_the_serial_run(world: dict[str, Any], cluster: str, tmp_path: Path) -> None:
    serial = fedsim.run(world, out=tmp_path / "serial")
    engine = {"kind": "ray", "hosts": 2, "address": cluster}
    assert sha(fedsim.run({**world, "engine": engine}, out=tmp_path / "ray")) == sha(serial)


def test_in_gossip_the_optimiser_stays_with_the_client(tmp_path: Path) -> None:
    fedsim.run(GOSSIP, out=tmp_path / "run", rounds=3)
    (folder,) = (tmp_path / "run" / "checkpoints").glob("*3")
    for node in range(4):
        with np.load(folder / f"node-{node}.npz") as arrays:
            assert arrays["velocity"].shape == (3, 2 * arrays["models"].shape[1] + 1)
            assert set((arrays["velocity"][:, -1] % 3).tolist()) == {0.0}


@pytest.mark.parametrize("world", [WORLD, GOSSIP], ids=["server", "gossip"])
def test_batches_are_carried_on_from_the_rounds_that_a_client_took_part_in(
    world: dict[str, Any], tmp_path: Path
) -> None:
    """Client 0 sees the same batches whether it was absent in between or not: only its participations count."""
    client = {"local_steps": 1, "batch_size": 4, "lr": 0.0, "carry_batches": True}
    seen = []
    for cohorts in ([[0], [1], [0, 2], [0]], [[0], [0], [0], [3]]):
        participation = {"kind": "schedule", "cohorts": cohorts}
        one = {**world, "client": client, "participation": participation, "rounds": 4, "evaluate": {"every": 1}}
        run = fedsim.run(one, out=tmp_path / str(len(seen)))
        losses = run.rounds.query("metric == 'train_loss'").set_index("round")["value"]
        seen.append(losses)
    alone, carried = seen[1], seen[0]
    assert carried[1] == alone[1]
    assert carried[4] == alone[3]
    assert alone[2] != alone[1]


@pytest.mark.parametrize("option", [{}, {"drop_last": True}, {"augment": ["crop", "flip"]}, {"carry_batches": True}])
def test_nodes_that_share_a_stream_train_as_if_alone(
    option: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = {"local_steps": 3, "batch_size": 16, "schedule": {"kind": "power", "exponent": 0.5, "by": "step"}}
    world = {**WORLD, "client": {**work, **option}, "rounds": 3}
    shared = fedsim.run(world, out=tmp_path / "shared")
    monkeypatch.setattr("fedsim.clients.kernels.stream.spans", lambda kernel: False)
    assert sha(fedsim.run(world, out=tmp_path / "alone")) == sha(shared)


def test_a_key_at_its_default_is_no_part_of_what_a_run_is() -> None:
    plain = {**WORLD, "client": {"lr": 0.02}}
    defaults = {"optimizer": "sgd", "nesterov": False, "betas": None, "eps": None, "clip_norm": None, "schedule": None}
    defaults |= {"drop_last": False, "carry_batches": False, "augment": []}
    assert scenario_hash(from_dict({**plain, "client": {"lr": 0.02, **defaults}})) == scenario_hash(from_dict(plain))
    assert scenario_hash(from_dict(WORLD)) != scenario_hash(from_dict(plain))
