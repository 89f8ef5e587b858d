"""The kernels under pytest-benchmark: `pip install -e .[bench]`, then `pytest benchmarks/test_kernels.py`.

Not among the default tests. `--benchmark-compare` sets two runs side by side on one machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.workloads import WORKLOADS
from fedsim.clients.gossip.merge import Row, Tensors, merge, moments
from fedsim.clients.training import Trainer
from fedsim.core import Layout, LinearSum, Reply, World
from fedsim.metrics import RoundDone, RunStarted
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.markov import Markov
from fedsim.participation.processes.uniform import Uniform
from fedsim.store.database import Store
from fedsim.strategies.flower.sums import reduce

Benchmark = Any


@pytest.mark.parametrize("neighbours", [2, 8])
def test_merge(benchmark: Benchmark, neighbours: int) -> None:
    layout = Layout(("a.weight", "a.bias", "b.weight", "b.bias"), ((200, 784), (200,), (10, 200), (10,)))
    tensors = Tensors.of(layout, "weights")
    models = np.random.default_rng(0).standard_normal((neighbours + 1, layout.size)).astype(np.float32)
    known = moments(models, tensors)
    weights = np.full(neighbours + 1, 1 / (neighbours + 1))
    row = Row(list(models), known.means, known.variances, weights, weights)
    out = np.empty((1, layout.size), np.float32)
    merged = benchmark(lambda: merge([row], out, tensors, correct=True))
    assert (merged.factors > 1).all()


@pytest.mark.parametrize("size", [610, 1_663_370])
def test_reduce(benchmark: Benchmark, size: int) -> None:
    stream = np.random.default_rng(0)
    replies = [Reply(node, 1, np.arange(5), {"update": stream.standard_normal(size)}) for node in range(4)]
    total = benchmark(lambda: reduce(replies, {"update": LinearSum(np.ones(1))}, size))
    assert total["update"].shape == (size,)


@pytest.mark.parametrize("name", ["W1", "W2", "W3"])
def test_lane_step(benchmark: Benchmark, name: str) -> None:
    workload = WORKLOADS[name]
    trainer = Trainer(workload.model, workload.work, workload.data(), 1)
    params, cohort = trainer.initial(), np.arange(min(workload.cohort, trainer.plan.lane), dtype=np.int64)
    results = benchmark(lambda: [lane.losses.sum() for lane in trainer.lanes(params, cohort, 1)])
    assert np.isfinite(results).all()


@pytest.mark.parametrize(
    "config",
    [Uniform(size=1000), Bernoulli(probabilities=0.01), Markov(probabilities=0.01, activation=0.005)],
    ids=lambda config: config.kind,
)
def test_schedule_draw(benchmark: Benchmark, config: Any) -> None:
    process = config.process(World(1, 100_000))
    rounds = iter(range(1, 10**9))
    cohort = benchmark(lambda: process.cohort(next(rounds)))
    assert len(cohort) > 0


def test_event_write(benchmark: Benchmark, tmp_path: Path) -> None:
    names = ["train_loss", "update_norm", "update_variance", "params_norm", "round_s", "train_s", "ship_s", "step_s"]
    rounds = iter(range(1, 10**9))

    def batch() -> list[RoundDone]:
        vectors = {"participants": np.arange(100)}
        values = dict.fromkeys(names, 0.5)
        return [RoundDone(run="b", round=next(rounds), values=values, vectors=vectors) for _ in range(25)]

    with Store(tmp_path / "fedsim.db") as store:
        store.write([RunStarted(run="b", name="b", strategy="fedavg", seed=1, num_clients=100, rounds=1)])
        benchmark(lambda: store.write(batch()))
