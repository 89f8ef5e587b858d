"""What clients keep for a rule or a correction is kept as h_i is: by any node, in any format, over a break."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import fedsim
from fedsim.clients.formats import row_bytes
from fedsim.clients.memory import Memory
from fedsim.core import Cohort, Population, Rule, Task
from fedsim.core.sums import Dot, LinearSum, Sums, Vector
from fedsim.engine.run.run import resume
from fedsim.strategies.corrections.scaffold import Scaffold
from fedsim.strategies.fedavg import FedAvg
from tests.strategies.scripted import play, play_on, population

WORLD: dict[str, Any] = {
    "name": "named memories",
    "seed": 4,
    "rounds": 6,
    "data": {"dataset": "digits", "clients": 11, "partition": {"kind": "dirichlet", "alpha": 0.5}},
    "model": {"name": "linear"},
    "client": {"local_steps": 3, "batch_size": 8, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": 0.5},
    "evaluate": {"every": 6},
    "checkpoint": {"every": 2},
}
STRATEGIES: dict[str, dict[str, Any]] = {
    "fedau-scaffold": {"name": "fedau", "correction": {"name": "scaffold"}},
    "fedstale-feddyn": {"name": "fedstale", "correction": {"name": "feddyn"}},
    "amplified": {"name": "amplified_scaffold", "period": 3, "factor": 1.5},
    "fedvarp-admm": {"name": "fedvarp", "correction": {"name": "fedadmm"}},
    "mifa-mime": {"name": "mifa", "correction": {"name": "mime-lite"}},
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_resumed_run_has_the_bits_of_one_without_a_break(strategy: str, tmp_path: Path) -> None:
    coarse = {"dtype": "int8", "tier": "disk"} if strategy == "fedstale-feddyn" else {}
    scenario = WORLD | {"strategy": STRATEGIES[strategy], "memory": coarse}
    whole = fedsim.run(scenario, out=tmp_path / "whole")
    fedsim.run(scenario | {"rounds": 3}, out=tmp_path / "part")
    resumed = resume(tmp_path / "part", rounds=6)
    assert resumed.summary["params_sha256"] == whole.summary["params_sha256"]


@pytest.mark.parametrize("nodes", [1, 3])
def test_lanes_and_nodes_move_only_rounding(nodes: int, tmp_path: Path) -> None:
    scenario = WORLD | {"strategy": STRATEGIES["fedau-scaffold"]}
    one, other = (
        fedsim.run(scenario | {"engine": {"kind": "serial", "nodes": count}}, out=tmp_path / str(count))
        for count in (4, nodes)
    )
    ends = []
    for run in (one, other):
        with np.load(run.folder / "params.npz") as params:
            ends.append(np.concatenate([params[name].ravel() for name in params.files]))
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-5)


@pytest.mark.ray
def test_hosts_give_the_bits_of_one_process(cluster: str, tmp_path: Path) -> None:
    scenario = WORLD | {"strategy": STRATEGIES["fedstale-feddyn"], "memory": {"dtype": "int8"}}
    serial = fedsim.run(scenario, out=tmp_path / "serial")
    spread = fedsim.run(scenario | {"engine": {"kind": "ray", "hosts": 3, "address": cluster}}, out=tmp_path / "ray")
    assert spread.summary["params_sha256"] == serial.summary["params_sha256"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_an_audit_finds_the_controls_where_their_mean_says(dtype: str, tmp_path: Path) -> None:
    scenario = WORLD | {"strategy": {"name": "scaffold"}, "memory": {"audit": 1, "dtype": dtype}}
    drift = fedsim.run(scenario, out=tmp_path / "run").rounds.query("metric == 'control_drift'")["value"]
    assert len(drift) == 6
    assert drift.max() < 1e-12


def test_int8_keeps_a_row_on_average_and_the_same_bits_wherever_it_is_asked() -> None:
    row = np.random.default_rng(0).standard_normal(500).astype(np.float32)
    rows, clients = np.tile(row, (400, 1)), np.arange(400)
    memory, other = (Memory(500, "int8", seed=3, name="control") for _ in range(2))
    memory.open(1)
    memory.write(clients, rows)
    memory.commit()
    _, kept = memory.read(clients)
    step = float(np.abs(row).max()) / 127
    assert float(np.abs(kept - rows).max()) <= step * 1.001
    assert float(np.abs(kept.mean(axis=0) - row).max()) < 5 * step / np.sqrt(400 * 12) * 2
    other.open(1)
    assert other.stored(clients[7:9], rows[7:9]).tobytes() == kept[7:9].tobytes()
    other.open(2)
    assert other.stored(clients[7:9], rows[7:9]).tobytes() != kept[7:9].tobytes()
    assert row_bytes(500, "int8") == 504


# --- what a rule may ask -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What the rule below was told in its last step."""

    all: Vector
    products: Vector
    steps: float
    population: Population


@dataclass(frozen=True, kw_only=True)
class Asks(Rule):
    """Asks for a sum over all memories, and for three products."""

    linear: ClassVar[bool] = False
    remembers: ClassVar[bool] = True

    def start(self, params: Any, population: Population) -> Seen:
        return Seen(np.zeros(len(params)), np.zeros(3), 0.0, population)

    def ask(self, state: Seen, cohort: Cohort) -> dict[str, LinearSum | Dot]:
        ones, everybody = np.ones(len(cohort)), np.arange(1.0, state.population.num_clients + 1)
        return {
            "update": LinearSum(ones),
            "all": LinearSum(10.0 * everybody, everybody, over="all memories"),
            "delta delta": Dot(ones),
            "delta h": Dot(2 * ones, "delta", "h"),
            "h h": Dot(ones, "h", "h"),
        }

    def step(self, state: Seen, cohort: Cohort, sums: Sums) -> tuple[Seen, Vector]:
        products = np.concatenate([sums[name] for name in ("delta delta", "delta h", "h h")])
        steps = cohort.statistics.get("steps", 0.0)
        return replace(state, all=sums["all"], products=products, steps=steps), sums["update"]


def delta(round: int, client: int) -> list[float]:
    return [float(round), float(client + 1)]


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_sums_over_all_memories_and_products_are_as_by_hand(nodes: int) -> None:
    cohorts = [[0, 1], [1, 3], []]
    seen = []
    _, strategy, grid = play(Asks(), population(4), [[]], delta, size=2, nodes=nodes)
    for number, clients in enumerate(cohorts, start=2):
        strategy.choose = lambda round, clients=clients: np.array(clients, np.int64)
        play_on(strategy, grid, number)
        assert strategy.state is not None
        seen.append(strategy.state.rule)
    # round 2: clients 0 and 1 for the first time, weights 10 (i + 1); nobody else is remembered
    assert seen[0].all.tolist() == [10 * 2 + 20 * 2, 10 * 1 + 20 * 2]
    assert seen[0].products.tolist() == [2**2 + 1 + 2**2 + 4, 0.0, 0.0]
    # round 3: 1 and 3 deliver, 0 is remembered from round 2
    assert seen[1].all.tolist() == [1 * 2 + 20 * 3 + 40 * 3, 1 * 1 + 20 * 2 + 40 * 4]
    assert seen[1].products.tolist() == [9 + 4 + 9 + 16, 2 * (6 + 4), 4 + 4]
    # round 4: nobody comes, all are remembered
    assert seen[2].all.tolist() == [1 * 2 + 2 * 3 + 4 * 3, 1 * 1 + 2 * 2 + 4 * 4]
    assert [one.steps for one in seen] == [4.0, 4.0, 0.0]


def test_a_message_that_comes_twice_counts_once_for_every_memory() -> None:
    rule = FedAvg(correction=Scaffold())
    _, strategy, grid = play(rule, population(2), [[0, 1]], delta, size=2, nodes=1)
    node = grid.nodes[0]
    order = strategy.order(strategy.state, Cohort(2, np.arange(2)))  # type: ignore[arg-type]  # there is a state
    asked = {"gain": LinearSum(np.ones(2), -np.ones(2), stored=True, of="control")}
    task = Task(2, np.zeros(2, np.float32), np.arange(2), asked, order=order)
    one, again = (node.train(task).sums["gain"].tobytes() for _ in range(2))
    assert one == again
    assert node.train(replace(task, round=5)).sums["gain"].tobytes() != one
