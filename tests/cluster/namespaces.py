"""Machines on one machine: network namespaces around a bridge, which has a namespace of its own. Needs root."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
PORT = 6379
QUICK = {  # Ray's own defaults take half a minute to notice that a machine is gone
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "4",
}


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


class Machine:
    """A namespace with one address."""

    def __init__(self, net: Network, name: str, number: int) -> None:
        self.net = net
        self.name = f"{net.prefix}-{name}"
        self.address = f"10.77.0.{number}"
        self.started: list[subprocess.Popen[str]] = []
        ip("netns", "add", self.name)
        self.plug = f"v{number}"
        ip("link", "add", self.plug, "netns", net.bridge, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("-n", net.bridge, "link", "set", self.plug, "master", "br0", "up")
        ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")
        ip("-n", self.name, "link", "set", "lo", "up")

    def start(self, *words: Any, **more: Any) -> subprocess.Popen[str]:
        """Start a command on this machine."""
        command = ["ip", "netns", "exec", self.name, *map(str, words)]
        with (self.net.folder / "log").open("a") as log:
            options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log, "text": True}
            process = subprocess.Popen(command, env=self.net.environment, **(options | more))
        self.started.append(process)
        return process

    def ray(self, *options: str) -> None:
        """Start Ray here: the head when no other machine is named."""
        common = [f"--node-ip-address={self.address}", "--disable-usage-stats", "--object-store-memory=100000000"]
        # on a busy machine Ray now and then gives up while it starts
        again = 'for attempt in 1 2 3; do "$@" && break; done'
        start = (BIN / "ray", "start", "--block", *common, *options)
        self.start("bash", "-c", again, "-", *start, stdout=subprocess.DEVNULL)

    def cut(self) -> None:
        """Pull the plug out of the network."""
        ip("-n", self.net.bridge, "link", "set", self.plug, "down")

    def kill(self) -> None:
        """End all that runs here, at once."""
        while pids := ip("netns", "pids", self.name).split():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        for process in self.started:
            process.communicate()
        self.started = []


class Network:
    """Machines that see each other and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = folder.name
        self.bridge = f"{self.prefix}-br"
        self.machines: dict[str, Machine] = {}
        self.environment = {**os.environ, **QUICK, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
        self.environment |= {"RAY_TMPDIR": str(folder), "FLWR_TELEMETRY_ENABLED": "0"}
        ip("netns", "add", self.bridge)
        ip("-n", self.bridge, "link", "add", "br0", "type", "bridge")
        ip("-n", self.bridge, "link", "set", "br0", "up")

    def machine(self, name: str) -> Machine:
        """Add a machine."""
        self.machines[name] = made = Machine(self, name, 11 + len(self.machines))
        return made

    def head(self) -> Machine:
        """Add the machine with Ray's head, on which no host runs."""
        made = self.machine("head")
        answers = f"until (echo > /dev/tcp/{made.address}/{PORT}) 2> /dev/null; do sleep 0.2; done"
        made.ray("--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={self.folder}/t")
        made.start("timeout", 60, "bash", "-c", answers).communicate()
        return made

    def worker(self, name: str, *options: str) -> Machine:
        """Add a machine with place for one host."""
        made = self.machine(name)
        made.ray(f"--address={self.machines['head'].address}:{PORT}", "--num-cpus=1", *options)
        return made

    def close(self) -> None:
        """End everything and take the network down."""
        for made in self.machines.values():
            made.kill()
            ip("netns", "del", made.name)
        ip("netns", "del", self.bridge)


@contextmanager
def network() -> Iterator[Network]:
    """Open a network; its folder is short, as Ray's sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="fs-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        net = Network(Path(folder))
        try:
            yield net
        finally:
            net.close()


def lines(process: subprocess.Popen[str]) -> Iterator[Sequence[str]]:
    """Yield what a process says, in words."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line.split()
