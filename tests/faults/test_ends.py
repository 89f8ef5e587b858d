"""Whatever ends a run on Ray: nothing of it stays on the machine, and a resume ends it as if nothing had happened."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest

import fedsim
from benchmarks.victims import CODES, Command, as_documented, environment, until
from fedsim.engine.run.run import Run, resume
from fedsim.metrics.summary import read_summary
from tests.faults.scenes import assert_as_undisturbed, scene, undisturbed

pytestmark = [
    pytest.mark.faults,
    pytest.mark.ray,
    pytest.mark.timeout(600),
    # files and processes that Ray itself leaves to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LONG = 60
"""Rounds of runs that something happens to; slow ones, so that it happens in their middle."""


@pytest.fixture
def start() -> Iterator[Callable[..., Command]]:
    started: list[Command] = []

    def begin(folder: Path, scenario: dict[str, object]) -> Command:
        started.append(Command(folder / "run", scenario))
        return started[-1]

    yield begin
    for command in started:
        if command.process.poll() is None:
            command.process.kill()
            command.process.communicate()


def long_scene(strategy: str, hosts: int = 2) -> dict[str, object]:
    client = {"local_steps": 150, "batch_size": 8, "lr": 0.01}
    return scene(strategy, rounds=LONG, client=client, engine={"kind": "ray", "hosts": hosts})


@pytest.fixture(scope="module")
def quiet_end(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The long run without Ray and without a fault."""
    scenario = long_scene("fedstale") | {"engine": {"kind": "serial"}}
    return fedsim.run(scenario, out=tmp_path_factory.mktemp("quiet") / "run")


def holders(folder: str) -> set[str]:
    """Processes that have a file of a folder open: some of Ray's write their titles over their environment."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(place).startswith(f"{folder}/"):
                found.add(place.parts[2])
        except OSError:  # it was closed while we looked
            continue
    return found


def listeners(processes: dict[int, str]) -> set[tuple[str, int]]:
    """Addresses and ports at which processes listen."""
    inodes = set()
    for process in processes:
        for place in Path(f"/proc/{process}/fd").glob("*"):
            if place.is_symlink() and os.readlink(place).startswith("socket:["):
                inodes.add(os.readlink(place)[8:-1])
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                host, _, port = words[1].partition(":")
                digits = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
                found.add((str(ip_address(digits)), int(port, 16)))
    return found


def tokens(processes: dict[int, str]) -> Iterator[str]:
    """The token that processes of a session have in their environment."""
    for process in processes:
        for part in environment(process):
            if part.startswith(b"RAY_AUTH_TOKEN="):
                yield part.decode().partition("=")[2]


def assert_nothing_left(command: Command, session: str) -> None:
    assert until(lambda: not command.descendants()), command.descendants()
    assert until(lambda: not holders(session)), holders(session)
    assert until(lambda: not Path(session).exists())
    users = subprocess.run(["grep", "-l", session, "/proc/net/unix"], capture_output=True, check=False)
    assert users.stdout == b""


@pytest.mark.parametrize("victim", CODES)
def test_a_run_of_which_a_part_is_killed_ends_as_documented_leaves_nothing_and_can_be_resumed(
    victim: str, start: Callable[..., Command], quiet_end: Run, tmp_path: Path
) -> None:
    command = start(tmp_path / "a", long_scene("fedstale"))
    assert until(lambda: command.rounds() >= LONG // 4)
    session = command.session()
    command.kill(victim)
    assert as_documented(command, victim) == ""
    assert_nothing_left(command, session)
    assert_as_undisturbed(resume(command.out), quiet_end)


def test_the_session_of_a_run_refuses_who_has_not_its_token_and_nothing_listens_outside_the_machine(
    start: Callable[..., Command], tmp_path: Path
) -> None:
    command = start(tmp_path / "a", long_scene("fedavg"))
    assert until(lambda: command.rounds() > 1)
    processes = command.descendants()
    listening = listeners(processes)
    assert listening
    assert {address for address, _ in listening} <= {"127.0.0.1", "::ffff:7f00:1", "::ffff:127.0.0.1"}
    raylet = next(line for line in processes.values() if "/raylet " in line)
    address = raylet.partition("--gcs-address=")[2].split()[0]
    token = next(tokens(processes))
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo")
        for strange in ((), (("authorization", f"Bearer {'0' * 64}"),)):
            with pytest.raises(grpc.RpcError) as refused:
                ask(b"", timeout=120, metadata=strange)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert ask(b"", timeout=120, metadata=(("authorization", f"Bearer {token}"),))
    assert command.process.poll() is None
    assert not any(token in line for line in processes.values())
    command.process.terminate()
    assert command.ended()[0] == 143


def test_two_runs_at_once_do_not_disturb_each_other_and_leave_nothing(
    start: Callable[..., Command], tmp_path: Path
) -> None:
    scenes = {strategy: scene(strategy, engine={"kind": "ray", "hosts": 1}) for strategy in ("fedstale", "fedavg")}
    commands = {strategy: start(tmp_path / strategy, scenario) for strategy, scenario in scenes.items()}
    sessions: dict[str, str] = {}

    def seen() -> bool:  # each for itself: the one may have ended before the other begins
        sessions.update({name: found for name, command in commands.items() if (found := command.session())})
        return len(sessions) == 2

    assert until(seen)
    assert len(set(sessions.values())) == 2
    for strategy, command in commands.items():
        assert command.ended() == (0, "")
        summary = read_summary(command.out)
        assert_as_undisturbed(Run(summary["run"], command.out, summary["store"], summary), undisturbed(strategy))
        assert_nothing_left(command, sessions[strategy])
