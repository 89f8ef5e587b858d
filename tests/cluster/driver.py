"""Run a scenario on a cluster as soon as its machines are there; hold in a round until a line comes in.

python driver.py SCENARIO.json OUT ADDRESS MACHINES ROUND
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ray

from fedsim.engine.ray.cluster import check_versions
from fedsim.engine.ray.session import session
from fedsim.engine.run.run import execute
from fedsim.scenario import from_dict


def main(scenario: str, out: str, address: str, machines: int, hold: int) -> None:
    host, _, port = address.partition(":")
    wait("a cluster", lambda: _answers(host, int(port)))
    held = False

    def at(phase: str, round: int) -> None:
        nonlocal held
        if phase == "step" and round == hold and not held:
            held = True
            tell("held")
            sys.stdin.readline()

    with session(address, 1) as opened:
        wait(f"{machines} machines", lambda: sum(node["Alive"] for node in ray.nodes()) >= machines)
        check_versions()
        run = execute(from_dict(json.loads(Path(scenario).read_text())), out=out, at=at, ray=opened)
    tell(f"done {json.dumps(run.summary)}")


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def wait(what: str, there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not there():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.2)


def _answers(host: str, port: int) -> bool:
    with socket.socket() as knocking:
        return knocking.connect_ex((host, port)) == 0


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
