"""Hosts that die, freeze or are brought down by a client: replaced, and no bit of the result changes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.api import read
from fedsim.core import CapacityError, ClientError
from fedsim.engine.nodes import hosted
from fedsim.engine.nodes.hosted import NodeJob
from fedsim.engine.ray import grid as ray_grid
from fedsim.engine.ray import hosts as ray_hosts
from fedsim.engine.ray.grid import RayGrid
from fedsim.engine.ray.hosts import Hosts
from fedsim.engine.ray.session import RaySession, session
from fedsim.engine.run.run import execute
from fedsim.store.database import Store
from tests.faults.scenes import (
    BAD,
    COHORTS,
    ROUND,
    assert_as_undisturbed,
    notices,
    poisoned_host,
    scene,
    undisturbed,
    world,
)

pytestmark = [
    pytest.mark.faults,
    pytest.mark.ray,
    pytest.mark.timeout(600),
    # files and processes that Ray itself leaves to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def ray() -> Iterator[RaySession]:
    """A session of Ray with places for two hosts."""
    with session("local", 2) as opened:
        yield opened


class Killer:
    """Sends signals to hosts at points of a run, each once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, plan: dict[tuple[str, int], tuple[Sequence[int], int]]) -> None:
        self.plan = dict(plan)
        self.places: dict[int, int] = {}
        ready = Hosts._await_ready

        def noted(hosts: Hosts, host: int) -> str:
            training = ready(hosts, host)
            self.places[host] = hosts._places[host][0]
            return training

        monkeypatch.setattr(Hosts, "_await_ready", noted)

    def at(self, point: str, round: int) -> None:
        """Strike when the time has come."""
        victims, signum = self.plan.pop((point, round), ((), 0))
        for host in victims:
            os.kill(self.places[host], signum)


@pytest.mark.parametrize("strategy", ["fedavg", "fedstale", "gossip"])
def test_dead_and_frozen_hosts_are_replaced_and_change_no_bit(
    strategy: str, ray: RaySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosted, "HUNG_S", 5.0)
    plan = {
        ("collect", 3): ([1], signal.SIGKILL),
        ("send", 6): ([0, 1], signal.SIGKILL),
        ("checkpoint.nodes", 6): ([0], signal.SIGKILL),
        ("collect", 9): ([0], signal.SIGSTOP),
    }
    killer = Killer(monkeypatch, plan)
    scenario = scene(strategy, engine={"kind": "ray", "hosts": 2})
    run = execute(read(scenario, {}), out=tmp_path / "run", ray=ray, at=killer.at)
    assert not killer.plan
    assert_as_undisturbed(run, undisturbed(strategy))
    kinds = [notice["kind"] for notice in notices(run)]
    assert "hung" in kinds  # on a busy machine others may seem so, too
    assert ("rollback" in kinds) == (strategy != "fedavg")
    assert all(notice["host"] for notice in notices(run) if notice["kind"] in ("host-lost", "hung", "retry"))


@pytest.mark.parametrize("strategy", ["fedavg", "fedstale"])
def test_a_host_that_dies_with_its_reply_unread_is_replaced_and_changes_no_bit(
    strategy: str, ray: RaySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # its sums are large, and stay with the host until they are read
    model = {"model": {"name": "mlp", "hidden": [512]}}
    killed: list[int] = []
    whole = RayGrid.whole

    def unread(grid: RayGrid, job: NodeJob, answer: Any) -> Any:
        if job.round == ROUND and not killed:
            process, _ = grid.hosts._places[job.host]
            killed.append(process)
            os.kill(process, signal.SIGKILL)
            grid.hosts.reader.forget(process)
            while Path(f"/proc/{process}/fd/0").exists():
                time.sleep(0.01)
        return whole(grid, job, answer)

    monkeypatch.setattr(RayGrid, "whole", unread)
    undisturbed = fedsim.run(scene(strategy, **model), out=tmp_path / "undisturbed")
    run = execute(
        read(scene(strategy, **model, engine={"kind": "ray", "hosts": 2}), {}), out=tmp_path / "a" / "run", ray=ray
    )
    assert killed
    assert_as_undisturbed(run, undisturbed)
    assert any("was lost with its reply" in notice["text"] for notice in notices(run) if notice["host"])


def poisoned(deed: str) -> type[ray_grid._HostActor]:
    """Return the actor of a host whose bad client does something in the bad round; it travels to Ray by value."""

    class PoisonedActor(ray_grid._HostActor):
        host_type = poisoned_host(deed)

    return PoisonedActor


@pytest.mark.parametrize(
    ("strategy", "deed", "kind"), [("fedavg", "kills", "host"), ("fedstale", "is stuck", "timeout")]
)
def test_a_client_that_brings_its_host_down_is_found_and_left_out(
    strategy: str, deed: str, kind: str, ray: RaySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohorts = [COHORTS[round % 5] for round in range(8)]
    absent = [[c for c in cohort if (round, c) != (ROUND, BAD)] for round, cohort in enumerate(cohorts, start=1)]
    client = {"local_steps": 2, "batch_size": 8, "lr": 0.1}
    without = fedsim.run(world(strategy, absent, client=client), out=tmp_path / "without")
    monkeypatch.setattr(RayGrid, "actor_type", poisoned(deed))
    monkeypatch.setattr(hosted, "GRACE_S", 3.0)
    engine = {"kind": "ray", "hosts": 2}
    client |= {"timeout_s": 0.5} if deed == "is stuck" else {}
    scenario = world(strategy, cohorts, engine=engine, client=client, on_client_error="drop")
    run = execute(read(scenario, {}), out=tmp_path / "run", ray=ray)
    assert run.summary["params_sha256"] == without.summary["params_sha256"]
    (told,) = [notice for notice in notices(run) if notice["client"] is not None]
    assert (told["round"], told["client"], told["kind"]) == (ROUND, BAD, kind)
    assert run.rounds.query("metric == 'num_crashed'")["value"].sum() == 1


def test_by_default_a_client_that_brings_its_host_down_stops_the_run_with_3(
    ray: RaySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RayGrid, "actor_type", poisoned("kills"))
    scenario = world("fedavg", COHORTS, engine={"kind": "ray", "hosts": 1})
    with pytest.raises(ClientError) as stopped:
        execute(read(scenario, {}), out=tmp_path / "run", ray=ray)
    assert str(stopped.value).startswith(f"round {ROUND}, client {BAD}: its host died 4 times with it: host-0 (")
    assert stopped.value.exit_code == 3


def test_hosts_that_find_no_place_end_the_run_with_4_and_the_numbers(ray: RaySession, tmp_path: Path) -> None:
    engine = {"kind": "ray", "hosts": 4, "nodes": 4, "capacity_timeout_s": 12}
    told: list[str] = []
    scenario = read(scene("fedavg", engine=engine), {})
    with pytest.raises(CapacityError) as refused:
        execute(scenario, out=tmp_path / "run", ray=ray)
    assert refused.value.exit_code == 4
    assert "it needs 1 CPU, free are 0 of " in str(refused.value)
    assert "fewer `engine.hosts`" in str(refused.value)
    with Store(tmp_path / "fedsim.db", create=False) as store:
        (run,) = store.runs()
        told = [notice["text"] for notice in store.notices(run.run) if notice["kind"] == "waiting"]
    assert len(told) >= 1


def test_a_host_killed_for_memory_is_told_apart_with_the_numbers_to_change(
    ray: RaySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = iter(range(1000))
    monkeypatch.setattr(ray_hosts, "kills_for_memory", lambda: next(kills))  # the system counts one more each time
    plan = {("collect", 3): ([1], signal.SIGKILL)}
    killer = Killer(monkeypatch, plan)
    run = execute(
        read(scene("fedstale", engine={"kind": "ray", "hosts": 2}), {}), out=tmp_path / "run", ray=ray, at=killer.at
    )
    assert_as_undisturbed(run, undisturbed("fedstale"))
    (told,) = [notice for notice in notices(run) if notice["kind"] == "out-of-memory"]
    assert told["host"] == "host-1"
    assert "lower engine.hosts (now 2), client.lane (now auto), memory.dtype (bfloat16)" in told["text"]
