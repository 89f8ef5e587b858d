"""What the registry says a run reports is what a run reports: columns are filled, and no number is without a place."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.metrics.registry import METRICS, find

DIGITS: dict[str, Any] = {
    "name": "columns",
    "seed": 3,
    "rounds": 4,
    "data": {"dataset": "digits", "clients": 8},
    "model": {"name": "linear"},
    "client": {"local_steps": 1, "batch_size": 8, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": 0.7},
    "strategy": {"name": "fedavg"},
    "evaluate": {"every": 2},
    "engine": {"kind": "serial"},
}
QUADRATIC = {
    "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]]},
    "model": {"name": "point", "init": [4.0]},
    "client": {"local_steps": 1, "lr": 0.1},
}
PEERS = {"strategy": {"name": "gossip", "preset": "corrected"}}
RUNS: dict[str, dict[str, Any]] = {
    "server": {},
    "optimum": QUADRATIC,
    "memories": {"strategy": {"name": "fedvarp"}, "memory": {"audit": 2}},
    "cutoffs": {"strategy": {"name": "fedau", "cutoff": 2}},
    "estimates": {"strategy": {"name": "fedstale", "probabilities": "estimated"}},
    "clock": {"devices": {"deadline_s": 1.0}},
    "probe": {"probe": {"every": 2, "draws": 5}},
    "peers": PEERS,
    "peers-clock": PEERS | {"devices": {"deadline_s": 1.0}},
}


@pytest.mark.parametrize("case", RUNS)
def test_a_run_fills_every_column_and_has_no_number_without_one(case: str, tmp_path: Path) -> None:
    run = fedsim.run(DIGITS | RUNS[case], out=tmp_path / "run")
    with (run.folder / "rounds.csv").open() as file:
        rows = list(csv.DictReader(file))
    filled = {name for row in rows for name, value in row.items() if value}
    assert set(rows[0]) == filled
    told = {name for name in run.rounds["metric"].unique() if find(name).column}
    assert told == filled - {"round"}


def test_more_accuracy_is_better_and_less_of_a_spread() -> None:
    better = {name: metric.better for name, metric in METRICS.items() if "accuracy" in name}
    for name in ("node_accuracy_std", "client_accuracy_sd", "personal_accuracy_sd"):
        assert better.pop(name) == "lower"
    assert set(better.values()) == {"higher"}
