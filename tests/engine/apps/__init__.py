"""Small Flower apps, written into a folder and run here and under Flower's own simulation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = """\
[project]
name = "{package}"
version = "1.0.0"
[tool.flwr.app]
publisher = "somebody"
[tool.flwr.app.components]
serverapp = "{package}.both:server"
clientapp = "{package}.both:client"
[tool.flwr.app.config]
mode = "none"
"""
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
HEAD = """\
import random, sys, time
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

def nodes(grid):
    while len(list(grid.get_node_ids())) < 4:  # Flower's simulation starts the ServerApp before its nodes
        time.sleep(0.1)
    return sorted(grid.get_node_ids())

def ask(grid, ids, kind="query", content=None, timeout=None, **options):
    made = [Message(content or RecordDict(), dst_node_id=n, message_type=kind, **options) for n in ids]
    return list(grid.send_and_receive(made, timeout=timeout))

client = ClientApp()
server = ServerApp()
"""


def write(folder: Path, body: str, package: str = "pkg") -> Path:
    """Write an app whose module defines what `body` says, after the usual imports; return its folder."""
    (folder / package).mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT.format(package=package))
    (folder / package / "__init__.py").touch()
    (folder / package / "both.py").write_text(HEAD + body)
    return folder


def ours(folder: Path, *options: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run an app by `fedsim flower-app`, on four nodes unless an option says otherwise."""
    command = [sys.executable, "-m", "fedsim", "flower-app", str(folder), "--nodes", "4", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=cwd)


def flowers(folder: Path, ray: Path, workers: int = 2) -> subprocess.CompletedProcess[str]:
    """Run an app under Flower's own simulation, with so many workers; `ray` is a short folder for its sockets."""
    command = [sys.executable, str(Path(__file__).with_name("flower_engine.py")), str(folder), str(ray), str(workers)]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, env=os.environ | QUIET)


def results(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines that an app printed after RESULT."""
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
