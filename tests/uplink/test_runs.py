"""Coded runs through YAML: the recurrences of the papers, the same bits everywhere, and every byte counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import ScenarioError

pytestmark = pytest.mark.slow

QUADRATIC = """
name: quadratic
data: {{dataset: quadratic, centers: {centers}, curvature: [1, 3]}}
model: {{name: point, init: [0, 0]}}
client: {{local_steps: 1, lr: 0.1}}
strategy: {{name: mifa}}
engine: {{kind: serial}}
uplink: {uplink}
rounds: {rounds}
checkpoint: {{every: 1, keep: {rounds}}}
"""
PLAIN, FULL = [[1, 0], [0, 2]], [[1, 0.5], [-0.4, 2]]


def way(folder: Path, uplink: str, *, centers: Any = PLAIN, rounds: int = 4, **more: Any) -> tuple[Any, fedsim.Run]:
    """Return the model after each round (T, d), and the run."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "s.yaml"
    file.write_text(QUADRATIC.format(centers=centers, uplink=uplink, rounds=rounds))
    run = fedsim.run(file, out=folder / "run", **more)
    saved = sorted((run.folder / "checkpoints").glob("round-*/state.npz"))
    return np.array([np.load(state)["progress.server.params"] for state in saved]), run


def sent(run: fedsim.Run) -> list[float]:
    return [float(one) for one in fedsim.load(run.folder).query("metric == 'bytes_up'").sort_values("round")["value"]]


def test_ef21_is_the_papers_recurrence(tmp_path: Path) -> None:
    """f_i = c_i/2 |x - y_i|^2, c = (1, 3), gamma .1, Top1, from 0, by hand; the second needs a whole first message."""
    found, run = way(tmp_path / "a", "{codec: topk, k: 1, feedback: ef21}")
    np.testing.assert_allclose(found, [(0.05, 0.3), (0.1, 0.54), (0.15, 0.732), (0.2, 0.8856)], atol=1e-7)
    assert sent(run) == [2 * 8, 2 * 8, 2 * 8, 2 * 8]  # first 2 values, then 1 value and 1 place
    found, _ = way(tmp_path / "b", "{codec: topk, k: 1, feedback: ef21}", centers=FULL)
    expected = [(-0.01, 0.325), (-0.02, 0.585), (-0.03, 0.793), (-0.04, 0.9594)]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_a_share_of_one_is_gradient_descent_bit_for_bit(tmp_path: Path) -> None:
    plain, _ = way(tmp_path / "a", "null")
    for number, uplink in enumerate(("{codec: topk, k: 2, feedback: ef21}", "{codec: topk, k: 1.0}", "{codec: none}")):
        found, run = way(tmp_path / f"{number}", uplink)
        assert found.tobytes() == plain.tobytes()
        assert sent(run) == [16.0] * 4


def test_ef21_with_smoothness_as_weights_is_ef21_under_topk_and_not_under_a_threshold(tmp_path: Path) -> None:
    """Top does not see that each client's change is multiplied by a_i/w_i, (2, 2/3) here; rounding is float32's."""
    (tmp_path / "hard.py").write_text(THRESHOLD)
    hard = f"codec: '{tmp_path / 'hard.py'}:Threshold', feedback: ef21"
    ways = {
        name: way(tmp_path / name, f"{{{uplink}}}", centers=FULL)[0]
        for name, uplink in {
            "top": "codec: topk, k: 1, feedback: ef21",
            "top-w": "codec: topk, k: 1, feedback: ef21, weights: smoothness",
            "top-listed": "codec: topk, k: 1, feedback: ef21, weights: [2, 6]",
            "hard": hard,
            "hard-w": f"{hard}, weights: smoothness",
        }.items()
    }
    np.testing.assert_allclose(ways["top-w"], ways["top"], atol=1e-6)
    assert ways["top-w"].tobytes() == ways["top-listed"].tobytes()
    assert np.abs(ways["hard-w"] - ways["hard"]).max() > 1e-3


THRESHOLD = '''
from dataclasses import dataclass
import numpy as np
from fedsim.core.uplink import Codec

@dataclass(frozen=True, kw_only=True)
class Threshold(Codec):
    """Entries of at least 0.08."""

    least: float = 0.08

    def code(self, vector, chance):
        return np.where(np.abs(vector) >= self.least, vector, np.float32(0))

    def nbytes(self, size):
        return 8 * size
'''


def test_ef21_needs_no_more_of_an_absent_client(tmp_path: Path) -> None:
    """Client 0 comes in round 1 alone: its memory keeps its bits, and goes on to count in every update."""
    absent: dict[str, Any] = {"participation": {"kind": "schedule", "cohorts": [[0], [1], [1], [1]]}}
    found, run = way(tmp_path, "{codec: topk, k: 1, feedback: ef21}", centers=FULL, **absent)
    folders = sorted((run.folder / "checkpoints").glob("round-*"))
    kept = [np.load(folder / "node-0.rows.npy") for folder in folders]
    assert all(rows.tobytes() == kept[0].tobytes() for rows in kept)
    assert sent(run) == [8.0, 8.0, 8.0, 8.0]
    np.testing.assert_allclose(found[0], (0.05, 0.025), atol=1e-7)  # .1 (1, .5) / 2


def test_ef14_sends_later_what_was_left_out(tmp_path: Path) -> None:
    """One entry a round and nothing lost: the sums of what is sent and what was read differ by the errors held."""
    one: dict[str, Any] = {
        "strategy": {"name": "fedavg"},
        "participation": {"kind": "schedule", "cohorts": [[0], [0], [0], [0]]},
    }
    found, run = way(tmp_path, "{codec: topk, k: 1, feedback: ef14}", centers=FULL, **one)
    # delta = .1 ((1, .5) - x): a1 = (.1, .05) sends .1; a2 = (.09, .1) sends .1; and so on
    expected, error, x = [], np.zeros(2), np.zeros(2)
    for _ in range(4):
        whole = error + 0.1 * (np.array([1.0, 0.5]) - x)
        read = np.where(np.arange(2) == np.argmax(np.abs(whole)), whole, 0.0)
        error, x = whole - read, x + read
        expected.append(x)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    kept = np.load(sorted((run.folder / "checkpoints").glob("round-*"))[-1] / "node-0.uplink.delta.rows.npy")
    np.testing.assert_allclose(kept[0], error, atol=1e-7)


def test_the_memory_of_ef21_follows_the_rate(tmp_path: Path) -> None:
    """At lr_t = .1, .05, .025: g <- lr_t/lr_i g + Top1(delta - lr_t/lr_i g), and mifa's mean with it."""
    decay: dict[str, Any] = {"client": {"local_steps": 1, "lr": 0.1, "lr_decay": 0.5}}
    found, _ = way(tmp_path, "{codec: topk, k: 1, feedback: ef21}", centers=FULL, rounds=3, **decay)
    c, y, x, expected = np.array([1.0, 3.0]), np.array(FULL), np.zeros(2), []
    g = np.zeros((2, 2))
    for round in range(3):
        fresh = 0.1 * 0.5**round * c[:, None] * (y - x)
        change = fresh - 0.5 * g
        top = np.arange(2) == np.argmax(np.abs(change), axis=1)[:, None]
        g = fresh if round == 0 else 0.5 * g + np.where(top, change, 0.0)
        x = x + g.mean(axis=0)
        expected.append(x)
    np.testing.assert_allclose(found, expected, atol=1e-7)


DIGITS: dict[str, Any] = {
    "name": "coded",
    "seed": 5,
    "rounds": 6,
    "data": {"dataset": "synthetic", "clients": 9},
    "model": {"name": "linear"},
    "client": {"local_steps": 2, "batch_size": 8, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": 0.6},
    "engine": {"kind": "serial", "nodes": 3},
    "strategy": {"name": "fedavg"},
}
CASES: dict[str, dict[str, Any]] = {
    "randk-ef14": {"uplink": {"codec": "randk", "k": 0.2, "feedback": "ef14"}},
    "qsgd-ef21-mifa": {"uplink": {"codec": "qsgd", "feedback": "ef21"}, "strategy": {"name": "mifa"}},
    "qsgd-int8": {
        "uplink": {"codec": "qsgd", "levels": 3, "feedback": "ef21"},
        "strategy": {"name": "fedstale"},
        "memory": {"dtype": "int8", "tier": "disk"},
    },
    "scaffold": {"uplink": {"codec": "randk", "k": 0.3, "feedback": "ef14"}, "strategy": {"name": "scaffold"}},
    "smooth": {
        "uplink": {"codec": "topk", "k": 0.1, "feedback": "ef21", "weights": "smoothness"},
        "client": {"local_steps": 2, "batch_size": 8, "lr": 0.1, "lr_decay": 0.9},
        "strategy": {"name": "mifa"},
    },
}


def bits(run: Any) -> tuple[Any, list[float]]:
    return run.summary["params_sha256"], sent(run)


ONE = "randk-ef14"


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name, marks=[] if name == ONE else pytest.mark.slow) for name, case in CASES.items()],
)
def test_a_resumed_run_and_other_processes_have_the_same_bits(case: dict[str, Any], tmp_path: Path) -> None:
    scenario = {**DIGITS, **case}
    whole = bits(fedsim.run(scenario, out=tmp_path / "whole"))
    fedsim.run({**scenario, "rounds": 3}, out=tmp_path / "half")
    assert bits(fedsim.resume(tmp_path / "half", rounds=6)) == whole
    hosts = {"kind": "processes", "nodes": 3, "hosts": 2}
    assert bits(fedsim.run({**scenario, "engine": hosts}, out=tmp_path / "hosts")) == whole


def test_what_a_client_sends_does_not_depend_on_its_lane(tmp_path: Path) -> None:
    """Runs of a study that train in one stream have the bits that each has alone."""
    strategies = [{"name": "fedavg"}, {"name": "mifa"}, {"name": "fedstale"}]
    scenario = {**DIGITS, **CASES["randk-ef14"], "compare": strategies}
    together = fedsim.compare(scenario, seeds=[5], out=tmp_path / "study")
    for outcome, strategy in zip(together.entries, strategies, strict=True):
        alone = fedsim.run({**scenario, "strategy": strategy}, out=tmp_path / strategy["name"])
        assert outcome.outcome.summary["params_sha256"] == alone.summary["params_sha256"]


@pytest.mark.ray
def test_ray_has_the_same_bits(tmp_path: Path) -> None:
    scenario = {**DIGITS, **CASES["qsgd-ef21-mifa"]}
    hosts = {"kind": "ray", "nodes": 3, "hosts": 2}
    ray = fedsim.run({**scenario, "engine": hosts}, out=tmp_path / "ray")
    assert bits(ray) == bits(fedsim.run(scenario, out=tmp_path / "serial"))


@pytest.mark.ray
def test_flowers_engine_has_the_same_bits(tmp_path: Path) -> None:
    scenario = {**DIGITS, **CASES["scaffold"], "rounds": 3}
    flower = fedsim.run({**scenario, "engine": {"kind": "flower", "nodes": 3}}, out=tmp_path / "flower")
    assert bits(flower) == bits(fedsim.run(scenario, out=tmp_path / "serial"))


def test_a_corrections_vectors_are_coded_and_counted_and_its_mean_stays_true(tmp_path: Path) -> None:
    """SCAFFOLD under Top-k sends delta and control, 8 k bytes each; c = sum a_i c_i of what was read."""
    scenario = {**DIGITS, "uplink": {"codec": "topk", "k": 5}, "strategy": {"name": "scaffold"}}
    run = fedsim.run({**scenario, "memory": {"audit": 1}}, out=tmp_path / "run")
    told = fedsim.load(run.folder)
    came = told.query("metric == 'cohort_size'").sort_values("round")["value"].to_numpy()
    assert sent(run) == (2 * 5 * 8 * came).tolist()
    drift = told.query("metric.str.startswith('control_drift') or metric.str.contains('drift')")
    assert len(drift)
    assert drift["value"].max() < 1e-6


def test_a_codec_that_does_not_fit_the_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"uplink\.k: keeps 100000 coordinates"):
        fedsim.run({**DIGITS, "uplink": {"codec": "topk", "k": 100_000}}, out=tmp_path / "run")
