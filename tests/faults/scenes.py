"""The scenario that faults are injected into, and what it means that a run ended as the undisturbed one did."""

from __future__ import annotations

import os
import signal
import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pandas as pd

import fedsim
from fedsim.clients.training import Trainer
from fedsim.engine.nodes.host import Host
from fedsim.engine.run.run import Run
from fedsim.store.database import Store

ROUNDS = 12
BAD, ROUND = 4, 5
"""A client that brings its host down, and when."""
COHORTS = [[0, 3, 4, 8], [1, 2, 9], [4, 5, 16], [0, 6, 13], [2, 4, 7, 8]]
STRATEGIES: dict[str, dict[str, Any]] = {
    "fedavg": {"name": "fedavg"},
    "fedstale": {"name": "fedstale", "beta": 0.5},
    "gossip": {"name": "gossip"},
}


def scene(strategy: str, **changes: Any) -> dict[str, Any]:
    """Return the common scenario: 20 clients of digits, 12 rounds, a checkpoint every third."""
    return {
        "name": f"faults-{strategy}",
        "seed": 4,
        "rounds": ROUNDS,
        "data": {"dataset": "digits", "clients": 20, "partition": {"kind": "dirichlet", "alpha": 0.5}},
        "model": {"name": "linear"},
        "client": {"local_steps": 2, "batch_size": 8, "lr": 0.1},
        "participation": {"kind": "bernoulli", "probabilities": 0.4},
        "strategy": STRATEGIES[strategy],
        "evaluate": {"every": 4},
        "checkpoint": {"every": 3, "keep": 2},
        **changes,
    }


@cache
def undisturbed(strategy: str) -> Run:
    """Return the serial run that nothing disturbed."""
    return fedsim.run(scene(strategy), out=Path(mkdtemp(prefix="fedsim-undisturbed-")) / "run")


def reproducible(names: pd.Series) -> pd.Series:
    """Return which metrics do not depend on the machine's speed."""
    return ~names.str.endswith("_s") | (names == "virtual_s")


def rows_in_store(run: Run) -> pd.DataFrame:
    """Return the run's rows in the store, ordered; two of one kind would show."""
    rows = run.rounds[reproducible(run.rounds["metric"])]
    return rows.sort_values(["metric", "round"])[["round", "metric", "value"]].reset_index(drop=True)


def rows_in_file(run: Run) -> pd.DataFrame:
    """Return rounds.csv without its seconds, as text."""
    table = pd.read_csv(run.folder / "rounds.csv", dtype=str)
    return table[[name for name, keep in zip(table, reproducible(table.columns.to_series()), strict=True) if keep]]


def assert_as_undisturbed(run: Run, other: Run) -> None:
    """The same bits, the same rows, none twice, and nothing temporary left."""
    for key in ("status", "rounds", "params_sha256", "schedule_hash", "final"):
        assert run.summary[key] == other.summary[key], key
    pd.testing.assert_frame_equal(rows_in_store(run), rows_in_store(other), check_exact=True)
    pd.testing.assert_frame_equal(rows_in_file(run), rows_in_file(other))
    assert not list(run.folder.rglob("*.tmp"))


def notices(run: Run) -> list[dict[str, Any]]:
    with Store(run.store, create=False) as store:
        return store.notices(run.id)


def world(strategy: str, cohorts: list[list[int]], **changes: Any) -> dict[str, Any]:
    named = {"name": "fedstale", "probabilities": [0.4] * 20} if strategy == "fedstale" else {"name": strategy}
    participation = {"kind": "schedule", "cohorts": cohorts}
    return scene("fedavg") | {"strategy": named, "participation": participation, "rounds": 8, **changes}


def poisoned_host(deed: str) -> type[Host]:
    """Return a host whose bad client does something in the bad round; it travels by value."""
    bad, bad_round = BAD, ROUND

    class PoisonedHost(Host):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            trainer: Trainer = self.trainer
            lanes = trainer.lanes

            def spoiled(params: Any, clients: Any, round: int, *rest: Any, **named: Any) -> Any:
                if round == bad_round and bad in clients:
                    if deed == "kills":
                        os.kill(os.getpid(), signal.SIGKILL)
                    while True:
                        try:
                            time.sleep(600.0)
                        except Exception:  # not even the timer ends it: it might as well be stuck outside Python
                            continue
                return lanes(params, clients, round, *rest, **named)

            trainer.lanes = spoiled  # type: ignore[method-assign]

    return PoisonedHost
