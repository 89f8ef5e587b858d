"""Host processes that die, freeze or are brought down by a client: replaced, as on Ray, and no bit changes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.api import read
from fedsim.core import CapacityError, ClientError
from fedsim.engine.nodes import hosted
from fedsim.engine.processes import hosts as process_hosts
from fedsim.engine.processes.grid import ProcessGrid
from fedsim.engine.processes.hosts import Hosts
from fedsim.engine.processes.worker import Worker
from fedsim.engine.run.run import execute, resume
from fedsim.metrics.peak_rss import family
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

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

TWO = {"kind": "processes", "hosts": 2}


class Killer:
    """Sends signals to hosts, or to their parent (-1), at points of a run, each once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, plan: dict[tuple[str, int], tuple[Sequence[int], int]]) -> None:
        self.plan = dict(plan)
        self.places: dict[int, int] = {}
        ready = Hosts._await_ready

        def noted(hosts: Hosts, host: int) -> str:
            self.places |= {host: hosts.places[host].process, -1: hosts._zygote._process.pid}
            return ready(hosts, host)

        monkeypatch.setattr(Hosts, "_await_ready", noted)

    def at(self, point: str, round: int) -> None:
        """Strike when the time has come."""
        victims, signum = self.plan.pop((point, round), ((), 0))
        for host in victims:
            with contextlib.suppress(ProcessLookupError):  # struck before, and its successor is not ready yet
                os.kill(self.places[host], signum)


def gone(process: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return "State:\tZ" in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True


@pytest.mark.parametrize("strategy", ["fedavg", "fedstale", "gossip"])
def test_dead_and_frozen_hosts_are_replaced_and_change_no_bit(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosted, "HUNG_S", 5.0)
    plan = {
        ("collect", 3): ([1], signal.SIGKILL),
        ("send", 6): ([0, 1], signal.SIGKILL),
        ("checkpoint.nodes", 6): ([0], signal.SIGKILL),
        ("collect", 8): ([-1], signal.SIGKILL),  # their parent, and both with it
        ("collect", 10): ([0], signal.SIGSTOP),
    }
    killer = Killer(monkeypatch, plan)
    run = execute(read(scene(strategy, engine=TWO), {}), out=tmp_path / "run", at=killer.at)
    assert not killer.plan
    assert_as_undisturbed(run, undisturbed(strategy))
    kinds = [notice["kind"] for notice in notices(run)]
    assert "hung" in kinds
    assert ("rollback" in kinds) == (strategy != "fedavg")
    assert all(notice["host"] for notice in notices(run) if notice["kind"] in ("host-lost", "hung", "retry"))
    assert all(gone(process) for process in killer.places.values())


@pytest.mark.parametrize("strategy", ["fedavg", "fedstale"])
def test_a_host_that_dies_with_its_reply_unread_is_replaced_and_changes_no_bit(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # its sums are large, and stay with the host until they are read
    model = {"model": {"name": "mlp", "hidden": [512]}}
    killed: list[int] = []
    opened = Hosts._opened

    def unread(hosts: Hosts, answer: tuple[bool, Any], host: int, *, copy: bool) -> Any:
        if not copy and not killed:  # the answer to a round's messages
            killed.append(hosts.places[host].process)
            os.kill(killed[0], signal.SIGKILL)
            hosts.reader.forget(killed[0])
            while Path(f"/proc/{killed[0]}/fd/0").exists():
                time.sleep(0.01)
        return opened(hosts, answer, host, copy=copy)

    monkeypatch.setattr(Hosts, "_opened", unread)
    alone = fedsim.run(scene(strategy, **model), out=tmp_path / "alone")
    run = execute(read(scene(strategy, **model, engine=TWO), {}), out=tmp_path / "a" / "run")
    assert killed
    assert_as_undisturbed(run, alone)
    assert any("was lost with its reply" in notice["text"] for notice in notices(run) if notice["host"])


def poisoned(deed: str) -> type[Worker]:
    """Return the worker of a host whose bad client does something in the bad round; it travels by value."""

    class PoisonedWorker(Worker):
        host_type = poisoned_host(deed)

    return PoisonedWorker


@pytest.mark.parametrize(
    ("strategy", "deed", "kind"), [("fedavg", "kills", "host"), ("fedstale", "is stuck", "timeout")]
)
def test_a_client_that_brings_its_host_down_is_found_and_left_out(
    strategy: str, deed: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohorts = [COHORTS[round % 5] for round in range(8)]
    absent = [[c for c in cohort if (round, c) != (ROUND, BAD)] for round, cohort in enumerate(cohorts, start=1)]
    client = {"local_steps": 2, "batch_size": 8, "lr": 0.1}
    without = fedsim.run(world(strategy, absent, client=client), out=tmp_path / "without")
    monkeypatch.setattr(ProcessGrid, "worker_type", poisoned(deed))
    monkeypatch.setattr(hosted, "GRACE_S", 3.0)
    client |= {"timeout_s": 0.5} if deed == "is stuck" else {}
    scenario = world(strategy, cohorts, engine=TWO, client=client, on_client_error="drop")
    run = execute(read(scenario, {}), out=tmp_path / "run")
    assert run.summary["params_sha256"] == without.summary["params_sha256"]
    (told,) = [notice for notice in notices(run) if notice["client"] is not None]
    assert (told["round"], told["client"], told["kind"]) == (ROUND, BAD, kind)
    assert run.rounds.query("metric == 'num_crashed'")["value"].sum() == 1


def test_by_default_a_client_that_brings_its_host_down_stops_the_run_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessGrid, "worker_type", poisoned("kills"))
    scenario = world("fedavg", COHORTS, engine={"kind": "processes", "hosts": 1})
    with pytest.raises(ClientError) as stopped:
        execute(read(scenario, {}), out=tmp_path / "run")
    assert str(stopped.value).startswith(f"round {ROUND}, client {BAD}: its host died 4 times with it: host-0 (")
    assert "ended by SIGKILL" in str(stopped.value)
    assert stopped.value.exit_code == 3


def test_a_host_killed_for_memory_is_told_apart_with_the_numbers_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = iter(range(1000))
    monkeypatch.setattr(process_hosts, "kills_for_memory", lambda: next(kills))  # the system counts one more each time
    killer = Killer(monkeypatch, {("collect", 3): ([1], signal.SIGKILL)})
    run = execute(read(scene("fedstale", engine=TWO), {}), out=tmp_path / "run", at=killer.at)
    assert_as_undisturbed(run, undisturbed("fedstale"))
    (told,) = [notice for notice in notices(run) if notice["kind"] == "out-of-memory"]
    assert told["host"] == "host-1"
    assert "lower engine.hosts (now 2), client.lane (now auto), memory.dtype (bfloat16)" in told["text"]


def test_a_host_for_which_there_is_no_memory_ends_the_run_with_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = iter(range(1000))
    monkeypatch.setattr(process_hosts, "kills_for_memory", lambda: next(kills))

    class DiesAtOnce(Worker):
        def __init__(self, *_: Any) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ProcessGrid, "worker_type", DiesAtOnce)
    with pytest.raises(CapacityError, match=r"host-0 .* cannot start: .*killed for memory") as refused:
        execute(read(scene("fedavg", engine=TWO), {}), out=tmp_path / "run")
    assert refused.value.exit_code == 4


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_whatever_ends_the_driver_no_process_stays_and_a_resume_ends_the_run(
    signum: signal.Signals, tmp_path: Path
) -> None:
    client = {"local_steps": 150, "batch_size": 8, "lr": 0.01}
    scenario = scene("fedstale", rounds=40, client=client)
    alone = fedsim.run(scenario, out=tmp_path / "alone")
    text = f"import fedsim; fedsim.run({scenario | {'engine': TWO}!r}, out={str(tmp_path / 'a' / 'run')!r})"
    with subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.DEVNULL) as driver:
        rows = tmp_path / "a" / "run" / "rounds.csv"
        while not rows.exists() or len(rows.read_text().splitlines()) < 6:
            assert driver.poll() is None
            time.sleep(0.02)
        all_of_it = family(driver.pid)
        assert len(all_of_it) == 4  # driver, parent, two hosts
        driver.send_signal(signum)
        assert driver.wait() != 0
    until = time.monotonic() + 30.0
    while not all(gone(process) for process in all_of_it):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert_as_undisturbed(resume(tmp_path / "a" / "run"), alone)
