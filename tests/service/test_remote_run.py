"""A run on another machine: what it measures is in the service's store as it is in its own."""

from pathlib import Path

import numpy as np
import pytest

from fedsim.engine.run.run import execute
from fedsim.metrics.sinks.remote import SPOOL
from fedsim.scenario import from_dict
from fedsim.store.database import Store
from tests.service.conftest import TOKEN, Access, listening


@pytest.mark.slow
def test_a_run_arrives_whole(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB", TOKEN)
    with listening(store, Access(token=TOKEN)) as address:
        scenario = from_dict(
            {
                "name": "toy",
                "rounds": 30,
                "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]]},
                "model": {"name": "point", "init": [4.0]},
                "participation": {"kind": "bernoulli", "probabilities": 0.5},
                "strategy": {"name": "mifa"},
                "evaluate": {"every": 3},
                "metrics": {"service": address, "token_env": "LAB"},
            }
        )
        run = execute(scenario, out=tmp_path / "elsewhere" / "one")
    with Store(run.store, create=False) as own:
        assert store.values() == own.values()
        (ours,), (theirs,) = store.runs(), own.runs()
        assert ours == theirs
        assert ours.status == "completed"
        here, there = store.vectors(run.id, "participants"), own.vectors(run.id, "participants")
        assert all(np.array_equal(here[r], there[r]) for r in range(1, 31))
    assert not (run.folder / SPOOL).exists()
    assert TOKEN not in (run.folder / "scenario.yaml").read_text()
