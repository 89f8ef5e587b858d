"""A run on Ray in a process of its own, and what of it can be killed: driver, host, raylet, control service."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic
from uuid import uuid4

from fedsim.engine.ray.reaper import MARK as SESSION
from fedsim.engine.ray.reaper import processes
from fedsim.metrics.summary import read_summary

MARK = "FEDSIM_TEST_MARK"

CODES = {"driver": -signal.SIGKILL, "host": 0, "raylet": 5, "control service": 5}
"""The exit code of a run one of whose parts is killed: a host is replaced, the rest needs `fedsim resume`."""
NAMES = {"host": "ray::_HostActor", "raylet": "/raylet", "control service": "/gcs_server"}
"""What stands in the first word of a part's command line."""


def until(happened: Callable[[], object], seconds: float = 300.0) -> bool:
    """Wait for something; return whether it happened."""
    pause, deadline = Event(), monotonic() + seconds
    while not happened():
        if monotonic() > deadline:
            return False
        pause.wait(0.02)
    return True


def environment(process: int) -> list[bytes]:
    """Return a process' variables; none of one that has ended."""
    try:
        return Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def command_line(process: int) -> str:
    """Return a process' command line; nothing of one that has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


class Command:
    """A `fedsim run` or `fedsim resume` on Ray, whose descendants carry a mark."""

    def __init__(self, out: Path, scenario: dict[str, object] | None = None) -> None:
        self.out, self.mark = out, uuid4().hex
        what = ["resume", str(out)]
        if scenario is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            file = out.with_name("s.yaml")
            file.write_text(json.dumps(scenario))
            what = ["run", str(file), "--out", str(out)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fedsim", *what, "--quiet"],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {MARK: self.mark},
        )

    def rounds(self) -> int:
        """Rounds that are in rounds.csv so far."""
        rows = self.out / "rounds.csv"
        return max(0, rows.read_text().count("\n") - 1) if rows.exists() else 0

    def descendants(self) -> dict[int, str]:
        """Processes that carry the mark, with their command lines."""
        everyone = [int(place.name) for place in Path("/proc").glob("[0-9]*")]
        mark = f"{MARK}={self.mark}".encode()
        return {process: command_line(process) for process in everyone if mark in environment(process)}

    def session(self) -> str:
        """Return the folder of its Ray session; nothing before it has one."""
        parts = (part for process in self.descendants() for part in environment(process))
        return next((part.decode().partition("=")[2] for part in parts if part.startswith(f"{SESSION}=".encode())), "")

    def kill(self, victim: str) -> None:
        """Kill the driver, or one other part of its session."""
        if victim == "driver":
            self.process.kill()
            return
        found, until = [], monotonic() + 10.0
        while not found and monotonic() < until:  # Ray renames its processes as they work
            found = [one for one in processes(self.session()) if NAMES[victim] in command_line(one).split(" ")[0]]
        assert found, victim
        os.kill(found[0], signal.SIGKILL)

    def ended(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was said on stderr."""
        _, errors = self.process.communicate()
        return self.process.returncode, errors


def as_documented(command: Command, victim: str) -> str:
    """Wait for the end of a run whose part was killed; return what is not as documented, or nothing."""
    code, errors = command.ended()
    if code != CODES[victim]:
        return f"exit code {code} instead of {CODES[victim]}: {errors}"
    if code != 5:
        return ""
    if not errors.startswith("the Ray cluster is lost: ") or "fedsim resume" not in errors or errors.count("\n") != 1:
        return f"not one line that says how to go on: {errors}"
    summary = read_summary(command.out)
    told = summary["status"], summary["reason"]
    return "" if told == ("failed", errors.strip()) else f"the summary says {told}"


def killed_at_random(out: Path, scenario: dict[str, object], victim: str, dice: random.Random, rounds: int) -> str:
    """Kill a part after a random round, resume what has ended; return what is not as documented, or nothing."""
    moment, pause = dice.randrange(1, rounds - 5), dice.uniform(0.0, 0.1)
    command = Command(out, scenario)
    if not until(lambda: command.rounds() >= moment or command.process.poll() is not None):
        command.process.kill()
        return f"no {moment} rounds came"
    Event().wait(pause)
    command.kill(victim)
    print(f"{victim} killed after {moment} rounds", flush=True)
    wrong = as_documented(command, victim)
    if wrong or CODES[victim] == 0:
        return wrong
    code, errors = Command(out).ended()
    return f"resume ended with {code}: {errors}" if code else ""
