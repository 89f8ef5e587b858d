"""Ctrl-C and SIGTERM at any moment: one line, the right code, no process left, no part of a file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from benchmarks.victims import MARK, environment, until

ENDLESS = """
name: endless
rounds: 1000000
data: {dataset: digits, clients: 20, partition: {kind: dirichlet, alpha: 0.3}}
model: {name: mlp, hidden: [64]}
client: {local_steps: 2, batch_size: 8}
participation: {kind: bernoulli, probabilities: 0.5}
strategy: {name: fedstale}
evaluate: {every: 10}
checkpoint: {every: 5}
"""


class Command:
    """A `fedsim run` in a process group of its own, as a terminal would start it."""

    def __init__(self, folder: Path, engine: str, text: str = ENDLESS, *more: str) -> None:
        self.out = folder / "out"
        self.mark = uuid4().hex
        file = folder / "scenario.yaml"
        file.write_text(f"{text}engine: {engine}\n")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fedsim", "run", str(file), "--out", str(self.out), *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=os.environ | {MARK: self.mark, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )

    def listens(self) -> bool:
        """Whether the command has taken over SIGTERM, which Python by itself never does."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    def rounds(self) -> int:
        """Rounds that are in rounds.csv so far."""
        rows = self.out / "rounds.csv"
        return max(0, rows.read_text().count("\n") - 1) if rows.exists() else 0

    def stop(self, *signums: signal.Signals) -> tuple[int, list[str]]:
        """Send signals as a terminal does, to the whole group; return the exit code and the lines on stderr."""
        for signum in signums:
            os.killpg(self.process.pid, signum)
        _, errors = self.process.communicate()
        return self.process.returncode, errors.splitlines()

    def survivors(self) -> list[int]:
        """Processes that this command started, itself included."""
        everyone = [int(place.name) for place in Path("/proc").glob("[0-9]*")]
        return [process for process in everyone if f"{MARK}={self.mark}".encode() in environment(process)]

    def left_in_order(self) -> bool:
        """Whether what lies under a final name is whole, and no temporary name is left."""
        if not self.out.exists():
            return True
        if (self.out / "summary.json").exists():
            assert json.loads((self.out / "summary.json").read_text())["status"] in ("interrupted", "completed")
        if (self.out / "params.npz").exists():
            with np.load(self.out / "params.npz") as params:
                assert sum(params[name].size for name in params.files) == 64 * 64 + 64 + 64 * 10 + 10
        return not list(self.out.rglob("*.tmp"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    started: list[Command] = []

    def begin(engine: str = "{kind: serial}", *more: str, text: str = ENDLESS) -> Command:
        started.append(Command(tmp_path, engine, text, *more))
        return started[-1]

    yield begin
    for command in started:
        if command.process.poll() is None:
            os.killpg(command.process.pid, signal.SIGKILL)
            command.process.communicate()


SERIAL, RAY = "{kind: serial}", "{kind: ray, nodes: 3, hosts: 2}"


def stopped_after(command: Command, seconds: float, signum: signal.Signals) -> None:
    """Let the command listen for some seconds, send the signal, and check what every stop promises."""
    assert until(command.listens)
    with pytest.raises(subprocess.TimeoutExpired):
        command.process.wait(seconds)
    code, errors = command.stop(signum)
    word, expected = ("interrupted", 130) if signum == signal.SIGINT else ("terminated", 143)
    assert (code, len(errors)) == (expected, 1), errors
    assert errors[0].startswith(word)
    assert until(lambda: not command.survivors()), command.survivors()
    assert command.left_in_order()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.8, 1.9])
def test_ctrl_c_ends_a_serial_run_with_one_line(seconds: float, start: Callable[..., Command]) -> None:
    stopped_after(start(SERIAL), seconds, signal.SIGINT)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(
    "seconds", [1.2, pytest.param(2.6, marks=pytest.mark.full), 4.0, pytest.param(6.0, marks=pytest.mark.full)]
)
def test_ctrl_c_ends_a_run_on_ray_and_all_its_processes(seconds: float, start: Callable[..., Command]) -> None:
    stopped_after(start(RAY), seconds, signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("engine", [SERIAL, pytest.param(RAY, marks=pytest.mark.ray)])
def test_sigterm_and_a_closed_terminal_end_a_run_in_the_same_order_with_143(
    engine: str, signum: signal.Signals, start: Callable[..., Command]
) -> None:
    command = start(engine)
    assert until(lambda: command.rounds() > 3)
    stopped_after(command, 0.01, signum)
    summary = json.loads((command.out / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert summary["rounds"] == command.rounds() > 3


@pytest.mark.slow
def test_under_nohup_a_closed_terminal_does_not_end_a_run(start: Callable[..., Command]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which the command inherits
    command = start()
    signal.signal(signal.SIGHUP, before)
    assert until(lambda: command.rounds() > 3)
    os.killpg(command.process.pid, signal.SIGHUP)
    done = command.rounds()
    assert until(lambda: command.rounds() > done + 3)
    assert command.stop(signal.SIGTERM)[0] == 143


@pytest.mark.slow
def test_an_interrupt_says_how_to_go_on(start: Callable[..., Command]) -> None:
    command = start()
    assert until(lambda: command.rounds() > 3)
    _, errors = command.stop(signal.SIGINT)
    assert errors == [f"interrupted after round {command.rounds()} of 1000000; fedsim resume {command.out} goes on"]


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait_for_the_first(start: Callable[..., Command]) -> None:
    command = start(RAY)
    assert until(lambda: command.rounds() > 3)
    code, _ = command.stop(signal.SIGINT, signal.SIGINT)
    assert code == 130
    assert until(lambda: not command.survivors()), command.survivors()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_ctrl_c_near_the_end_leaves_a_finished_or_an_interrupted_run(
    number: int, start: Callable[..., Command]
) -> None:
    command = start(text=ENDLESS.replace("1000000", "30"))
    assert until(lambda: command.rounds() > 25 or command.process.poll() is not None)
    with pytest.raises(subprocess.TimeoutExpired):
        command.process.wait(0.02 * number)
    code, errors = command.stop(signal.SIGINT)
    assert (code, len(errors)) in ((130, 1), (0, 0))
    assert command.left_in_order()
    assert (command.out / "summary.json").exists()


@pytest.mark.slow
def test_a_second_run_in_a_folder_in_use_is_refused_with_10(start: Callable[..., Command]) -> None:
    first = start()
    assert until(lambda: first.rounds() > 3)
    second = start(SERIAL, "--overwrite")
    _, errors = second.process.communicate()
    assert second.process.returncode == 10
    assert errors == f"{first.out}: locked by process {first.process.pid}, which is writing a run there\n"
    before = first.rounds()
    assert until(lambda: first.rounds() > before)
    assert first.stop(signal.SIGTERM)[0] == 143
