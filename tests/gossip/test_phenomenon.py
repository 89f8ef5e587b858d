"""The paper's argument on real images: plain gossip from independent starts sits on a plateau, corrected does not."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

import numpy as np
import pytest

import fedsim
from clients.merge import Row, Tensors, merge, moments
from fedsim.core import Layout, World
from strategies.mixing import rows
from strategies.topology import Regular

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


def test_the_correction_costs_less_than_three_fifths_of_a_plain_merge() -> None:
    layout = Layout(("a", "b", "c"), ((108, 64), (108, 108), (20, 64)))
    tensors, nothing = Tensors.of(layout, "weights"), Tensors((), (), layout.size)
    graph = Regular(degree=8).graph(World(1, 300), 1)
    mixed = rows(graph.receivers, graph.senders, np.ones_like(graph.senders), graph.out_degrees[graph.senders], 1)
    models = np.random.default_rng(1).normal(size=(300, layout.size)).astype(np.float32)
    out = np.empty_like(models)

    def once(parts: Tensors, correct: bool) -> float:
        began = process_time()
        found = moments(models, parts)
        made = []
        for k in range(300):
            entries = slice(mixed.starts[k], mixed.starts[k + 1])
            who, share = mixed.senders[entries], mixed.weights[entries]
            made.append(Row(list(models[who]), found.means[who], found.variances[who], share, share))
        merge(made, out, parts, correct=correct)
        return process_time() - began

    plain, corrected = zip(*((once(nothing, False), once(tensors, True)) for _ in range(15)), strict=True)
    assert min(corrected) - min(plain) < 0.6 * min(plain)
