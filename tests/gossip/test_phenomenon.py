"""The paper's argument on real images: plain gossip from independent starts sits on a plateau, corrected does not."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

import pytest

import fedsim

pytestmark = pytest.mark.slow
SEEDS = (1, 2, 3)
NEVER = 10**6


def steps_to_half(folder: Path, hidden: list[int], seed: int, limit: int, **strategy: Any) -> tuple[int, float]:
    """Return the steps until the nodes' mean accuracy is 50 %, looked at after every step, and the best accuracy."""
    scenario = {
        "name": "phenomenon",
        "seed": seed,
        "rounds": limit,
        "data": {"dataset": "digits", "clients": 50},
        "model": {"name": "mlp", "hidden": hidden},
        "client": {"local_steps": 1, "batch_size": 16, "lr": 0.1},
        "strategy": {
            "name": "gossip",
            "topology": {"kind": "regular", "degree": 8},
            "evaluate_nodes": 10,
            "spectral_window": 1,
            **strategy,
        },
        "stop": {"metric": "node_accuracy_mean", "target": 0.5},
        "evaluate": {"every": 1},
        "engine": {"kind": "serial", "nodes": 1},
    }
    curve = fedsim.run(scenario, out=folder).rounds.query("metric == 'node_accuracy_mean'")
    reached = curve[curve["value"] >= 0.5]["round"]
    return (int(reached.min()) if len(reached) else NEVER), float(curve["value"].max())


def test_with_three_layers_plain_gossip_takes_five_times_as_long_and_the_corrected_as_a_common_start(
    tmp_path: Path,
) -> None:
    corrected, common = [], []
    for seed in SEEDS:
        taken, _ = steps_to_half(tmp_path / f"corrected-{seed}", [64, 64], seed, 200, correction="variance")
        plain, _ = steps_to_half(tmp_path / f"plain-{seed}", [64, 64], seed, 5 * taken)
        assert plain >= 5 * taken
        corrected.append(taken)
        common.append(steps_to_half(tmp_path / f"common-{seed}", [64, 64], seed, 200, initialisation="common")[0])
    assert mean(corrected) <= 1.6 * mean(common)


@pytest.mark.parametrize("seed", SEEDS)
def test_with_five_layers_plain_gossip_stays_at_chance_while_the_corrected_learns(seed: int, tmp_path: Path) -> None:
    taken, _ = steps_to_half(tmp_path / "corrected", [64] * 4, seed, 300, correction="variance")
    assert taken < 300
    plain, best = steps_to_half(tmp_path / "plain", [64] * 4, seed, 5 * taken)
    assert plain == NEVER
    assert best < 0.2
