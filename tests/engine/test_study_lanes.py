"""Study lanes: runs that advance in step have the bits that each has alone, whatever happens to one of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.clients.training import Trainer
from fedsim.core.system.signals import Stopped, listener
from fedsim.metrics.summary import read_summary
from fedsim.scenario import from_dict
from fedsim.study.compare import compare
from fedsim.study.lanes import Grouping, grouping, lane_key
from fedsim.study.sweep import sweep

pytestmark = pytest.mark.slow

WORLD: dict[str, Any] = {
    "name": "lanes",
    "rounds": 5,
    "data": {"dataset": "digits", "clients": 23, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "mlp", "hidden": [9]},
    "client": {"local_steps": 2, "batch_size": 16, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": 0.4},
    "evaluate": {"every": 2},
    "engine": {"kind": "serial", "nodes": 3},
}
RULES = [{"name": "fedavg"}, {"name": "fedstale", "beta": 0.5}, {"name": "mifa"}, {"name": "scaffold"}]


def hashes(folder: Path) -> dict[str, Any]:
    """Return how each run of a study ended, by its folder."""
    found = {path.parent.name: read_summary(path.parent) for path in folder.glob("*/summary.json")}
    names = ("status", "rounds", "params_sha256", "schedule_hash", "final")
    return {name: {key: summary.get(key) for key in names} for name, summary in sorted(found.items())}


def test_every_member_of_a_comparison_ends_as_alone(tmp_path: Path) -> None:
    told: list[str] = []
    scenario = from_dict(WORLD | {"compare": RULES})
    together = compare(scenario, seeds=2, out=tmp_path / "together", parallel=1, say=told.append)
    compare(scenario, seeds=2, out=tmp_path / "alone", parallel=1, lanes=False, say=told.append)
    assert hashes(tmp_path / "together") == hashes(tmp_path / "alone")
    assert told == ["8 runs in one stream", "8 runs, one after the other"]
    assert [entry.label for entry in together.entries[:4]] == ["fedavg", "fedstale", "mifa", "scaffold"]
    for entry in together.entries[:2]:
        alone = fedsim.run(WORLD | {"strategy": RULES[together.entries.index(entry)]}, out=tmp_path / entry.label)
        assert alone.summary["params_sha256"] == entry.outcome.summary["params_sha256"]


def test_a_member_that_diverges_stops_or_has_another_rate_touches_no_other(tmp_path: Path) -> None:
    world = WORLD | {
        "strategy": {"name": "fedavg"},
        "client": WORLD["client"] | {"local_steps": 3, "weight_decay": 0.001},
        "sweep": {"client.lr": [0.1, 0.05, 1e20], "seed": [1, 2]},
        "stop": {"max_bytes": 120_000},
    }
    together = sweep(world, out=tmp_path / "together", parallel=1)
    ended = [point.outcome.status for point in together.points if point.outcome]
    assert ended == ["stopped"] * 4 + ["diverged"] * 2
    sweep(world, out=tmp_path / "alone", parallel=1, lanes=False)
    assert hashes(tmp_path / "together") == hashes(tmp_path / "alone")


def test_a_client_that_raises_is_its_own_runs_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = Trainer.lanes

    def spoiled(self: Trainer, params: Any, clients: Any, round: int, *rest: Any, **named: Any) -> Iterator[Any]:
        for result in lanes(self, params, clients, round, *rest, **named):
            if round == 3 and self._seed == 1 and 4 in result.clients:
                raise ValueError("the disk is empty")
            yield result

    monkeypatch.setattr(Trainer, "lanes", spoiled)
    participation = {"kind": "full"}
    world = WORLD | {"participation": participation, "compare": RULES[:2]}
    together = compare(from_dict(world), seeds=3, out=tmp_path / "together", parallel=1)
    ended = {(entry.label, entry.seed): entry.outcome.status for entry in together.entries}
    assert ended == {(label, seed): "failed" if seed == 1 else "completed" for label, seed in ended}
    assert "the disk is empty" in together.failed[0].outcome.error
    compare(from_dict(world), seeds=3, out=tmp_path / "alone", parallel=1, lanes=False)
    assert hashes(tmp_path / "together") == hashes(tmp_path / "alone")


def test_an_interrupted_stream_saves_all_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedsim.engine.round import rounds

    record = rounds.Rounds.record
    count = 0

    def recorded(self: Any, round: int, *rest: Any, **named: Any) -> None:
        nonlocal count
        record(self, round, *rest, **named)
        count += 1
        if count == 10:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(rounds.Rounds, "record", recorded)
    scenario = from_dict(WORLD | {"compare": RULES[:2]})
    with pytest.raises(Stopped):
        compare(scenario, seeds=2, out=tmp_path / "together", parallel=1, signals=listener())
    saved = hashes(tmp_path / "together")
    assert {one["status"] for one in saved.values()} == {"interrupted"}
    assert sorted(one["rounds"] for one in saved.values()) == [2, 2, 3, 3]
    compare(scenario, seeds=2, out=tmp_path / "together", parallel=1)
    compare(scenario, seeds=2, out=tmp_path / "alone", parallel=1, lanes=False)
    assert hashes(tmp_path / "together") == hashes(tmp_path / "alone")


def test_runs_are_put_together_by_what_they_share() -> None:
    scenarios = [
        from_dict(WORLD | {"seed": seed, "strategy": rule, "client": WORLD["client"] | {"lr": lr}})
        for seed in (2, 1)
        for rule in RULES[:2]
        for lr in (0.1, 0.2)
    ]
    other = from_dict(WORLD | {"model": {"name": "linear"}})
    assert grouping([*scenarios, other], 1).groups == ((4, 5, 6, 7, 0, 1, 2, 3), (8,))
    assert grouping(scenarios, 2).groups == ((0, 1, 2, 3), (4, 5, 6, 7))
    assert max(len(group) for group in grouping(scenarios, 1, most=3).groups) == 3
    assert grouping(scenarios, 1, lanes=False) == Grouping(tuple((place,) for place in range(8)), 1)
    assert lane_key(from_dict(WORLD | {"client": {"lane": 1}})) is None


def test_a_process_that_dies_takes_no_other_run_of_its_stream_with_it(tmp_path: Path) -> None:
    killed = False

    def kill(point: Any) -> None:
        nonlocal killed
        if not killed:
            killed = True
            for child in active_children():
                child.kill()
                child.join()

    world = WORLD | {"strategy": {"name": "mifa"}, "sweep": {"client.lr": [0.1, 0.05], "seed": [1, 2, 3]}}
    together = sweep(world, out=tmp_path / "together", parallel=2, tell=kill)
    assert [point.outcome.status for point in together.points if point.outcome] == ["completed"] * 6
    sweep(world, out=tmp_path / "alone", parallel=1, lanes=False)
    assert hashes(tmp_path / "together") == hashes(tmp_path / "alone")
