"""Ends what a local Ray session leaves behind, whatever became of the process that started it.

It runs beside the session as a process of its own, with the session's folder as its argument, and acts when its
standard input closes: when the driver lets go of it, and just as well when the driver is killed. What belongs to the
session carries the folder's name in its environment. Ray's Python processes write their titles over the place where the
system shows it, wholly or in part; those are known by their logs, which they hold open in that folder. It is run by its
path, so it imports the standard library only.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MARK = "FEDSIM_SESSION"
"""Environment variable that every process of a local Ray session inherits: the session's folder."""
PATIENCE_S = 10.0


def processes(folder: str) -> Iterator[int]:
    """Yield the Ray processes of the session in `folder`."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if int(place.name) != os.getpid() and _belongs(place, folder):
                yield int(place.name)
        except OSError:  # it ended while we looked, or is somebody else's
            continue


def _belongs(process: Path, folder: str) -> bool:
    command = (process / "cmdline").read_bytes()
    marked = f"{MARK}={folder}".encode() in (process / "environ").read_bytes().split(b"\0")
    if Path(__file__).name.encode() in command:  # whatever the path to it holds
        return False
    return b"ray" in command and (marked or (command.startswith(b"ray::") and _holds_a_file_in(folder, process)))


def _holds_a_file_in(folder: str, process: Path) -> bool:
    return any(os.readlink(file).startswith(f"{folder}/") for file in (process / "fd").iterdir())


def clear(folder: str) -> None:
    """Kill what is left of a session, then remove its folder."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = list(processes(folder))
        for process in found:
            try:
                os.kill(process, signal.SIGKILL)
            except OSError:
                continue
        if not found:
            break
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    clear(sys.argv[1])
