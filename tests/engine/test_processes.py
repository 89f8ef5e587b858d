"""Plain processes give the bits of one process, and `auto` takes what ends sooner."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.api import read
from fedsim.core import ScenarioError
from fedsim.engine.experiment import build
from fedsim.engine.run import choosing
from fedsim.engine.run.choosing import choose, training_s
from fedsim.engine.run.run import resume

WORLD: dict[str, Any] = {
    "name": "processes",
    "rounds": 6,
    "data": {"dataset": "digits", "clients": 12},
    "model": {"name": "mlp", "hidden": [64]},
    "client": {"local_steps": 2, "batch_size": 8},
    "participation": {"kind": "bernoulli", "probabilities": 0.6},
    "strategy": {"name": "fedstale", "beta": 0.5},
    "probe": {"every": 3, "draws": 50},
    "memory": {"audit": 2},
    "checkpoint": {"every": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fedstale", "gossip"])
def test_any_number_of_hosts_gives_the_bits_of_one_process_whole_and_resumed(name: str, tmp_path: Path) -> None:
    world = WORLD | ({} if name == "fedstale" else {"strategy": {"name": name}, "probe": None, "memory": {}})
    alone = fedsim.run(world, out=tmp_path / "alone", engine={"kind": "serial"})
    for hosts in (1, 3):
        run = fedsim.run(world, out=tmp_path / f"{hosts}", engine={"kind": "processes", "hosts": hosts})
        assert run.summary["engine"]["kind"] == "processes"
        for key in ("params_sha256", "schedule_hash", "scenario_hash", "final", "probe"):
            assert run.summary[key] == alone.summary[key], key
    half = fedsim.run(world, out=tmp_path / "half", engine={"kind": "processes", "hosts": 2}, rounds=3)
    assert resume(half.folder, rounds=6).summary["params_sha256"] == alone.summary["params_sha256"]


def choice(**changes: Any) -> tuple[str, str]:
    experiment = build(read(WORLD | {"engine": {"kind": "auto"}} | changes, {}))
    engine, why = choose(experiment, experiment.scenario.engine)
    return engine.kind, why


def test_little_work_is_done_here_and_much_in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "cores_here", lambda: 2)
    kind, why = choice()
    assert kind == "serial"
    assert why.startswith("serial: less than a second of training; {kind: processes} would start 2 hosts")
    much = {"rounds": 10_000, "client": {"local_steps": 100, "batch_size": 8}}
    kind, why = choice(**much)
    assert kind == "processes"
    assert why.startswith("processes x 2: about ")
    monkeypatch.setattr(choosing, "cores_here", lambda: 1)
    assert choice(**much)[1].startswith("serial: there is one core")


def test_an_address_is_ray_there_and_hosts_are_a_bound() -> None:
    assert choice(engine={"kind": "auto", "address": "head:6379", "hosts": "auto"})[0] == "ray"
    assert choice(engine={"kind": "auto", "hosts": 1})[1].startswith("serial: there is one host")
    with pytest.raises(ScenarioError, match=r"engine\.address: must be local, auto or host:port, got 'nowhere'"):
        read(WORLD | {"engine": {"kind": "auto", "address": "nowhere"}}, {})


def test_what_was_taken_is_in_the_summary(tmp_path: Path) -> None:
    run = fedsim.run(WORLD, rounds=2, out=tmp_path / "run")
    assert run.summary["engine"]["kind"] == "serial"
    assert run.summary["engine"]["chosen"].startswith("serial: ")


def test_a_time_limit_off_the_main_thread_takes_processes() -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(choice(client={"timeout_s": 9.0})[0]))
    thread.start()
    thread.join()
    assert found == ["processes"]


def test_predicted_work_grows_with_rounds_and_examples() -> None:
    short, long, wide = (
        training_s(build(read(WORLD | changes, {})))
        for changes in ({}, {"rounds": 60}, {"client": {"local_steps": 4, "batch_size": 8}})
    )
    assert long == pytest.approx(10 * short)
    assert wide == pytest.approx(2 * short)


def test_more_hosts_than_nodes_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"engine.hosts: a host runs at least one node: at most nodes \(2\), got 3"):
        read(WORLD | {"engine": {"kind": "processes", "nodes": 2, "hosts": 3}}, {})
