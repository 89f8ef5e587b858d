"""A clean parent for host processes: it has loaded what hosts need, holds no thread, and forks one whenever asked.

To fork the driver itself would be quicker still, and wrong: it has threads by then, whose locks nobody would release in
the copy. The parent starts while the driver reads its data, so that on two cores it costs hardly a moment; each host
after that, also one in the place of another, is there within milliseconds. Needs fork: Linux and macOS.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from importlib import import_module
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from fedsim.core import ClusterLostError

REQUEST = struct.Struct("=8sq")
"""What is asked and answered: a word, and a process or how it ended."""
FORK, END = b"fork", b"end"
ENDING_S = 2.0
"""A process whose connection broke ends by itself within this time, or it is killed."""
LOADED = ("fedsim.engine.processes.worker", "fedsim.engine.gossip.peers")
"""What hosts need, loaded once for all of them."""
PINNED = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "FLWR_TELEMETRY_ENABLED": "0"}
"""One thread per host, so that bits do not depend on the number of cores, and so that nothing but it is forked."""


class Zygote:
    """The driver's side: starts the parent at once, without waiting for it, and asks it for hosts."""

    def __init__(self) -> None:
        here, there = socket.socketpair()
        command = [sys.executable, "-m", "fedsim.engine.processes.zygote", str(there.fileno())]
        # a session of its own, so that Ctrl-C in a terminal does not reach it
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=[there.fileno()],
            start_new_session=True,
            env=os.environ | PINNED,
        )
        there.close()
        self._socket = here
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def fork(self) -> tuple[int, Connection, int]:
        """Return a new host process: its number, the connection to it, and the pipe of its pulse.

        Raises
        ------
        ClusterLostError : the parent has ended.
        """
        here, there = socket.socketpair()
        pulse, beating = os.pipe()
        os.set_blocking(pulse, False)
        os.set_blocking(beating, False)
        try:
            process = self._ask(FORK, 0, [there.fileno(), beating])
        finally:
            there.close()
            os.close(beating)
        return process, Connection(here.detach()), pulse

    def end(self, process: int) -> int:
        """Make sure that a host process has ended; return its exit code, or minus the signal that ended it."""
        try:
            return self._ask(END, process)
        except ClusterLostError:  # its children have ended with it
            return -signal.SIGKILL

    def _ask(self, word: bytes, number: int, files: list[int] | None = None) -> int:
        with self._lock:
            try:
                socket.send_fds(self._socket, [REQUEST.pack(word, number)], files or [])
                answer = self._socket.recv(REQUEST.size, socket.MSG_WAITALL)
            except OSError:
                answer = b""
        if len(answer) < REQUEST.size:
            raise ClusterLostError(f"the parent of the hosts (process {self._process.pid}) has ended")
        _, found = REQUEST.unpack(answer)
        return int(found)

    def close(self) -> None:
        """End it, and with it every host process."""
        self._socket.close()
        self._process.wait()


def _serve(control: socket.socket) -> None:
    """The parent's side: fork and end hosts, until the driver is gone."""
    while True:
        request, files, _, _ = socket.recv_fds(control, REQUEST.size, 2)
        if len(request) < REQUEST.size:
            return
        word, number = REQUEST.unpack(request)
        if word.rstrip(b"\0") == FORK:
            number = os.fork()
            if number == 0:
                control.close()
                from fedsim.engine.processes.worker import serve

                serve(Connection(files[0]), files[1])
                os._exit(0)
            for file in files:
                os.close(file)
        else:
            number = _ended(number)
        control.sendall(REQUEST.pack(word, number))


def _ended(process: int) -> int:
    """Wait a moment for a child to end, then kill it; return its exit code or minus its signal."""
    until = time.monotonic() + ENDING_S
    try:
        while True:
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > until:
                os.kill(process, signal.SIGKILL)
                return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            time.sleep(0.005)
    except (ChildProcessError, ProcessLookupError):
        return 0


def _main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in LOADED:
        import_module(name)
    gc.freeze()  # so that a collection in a host touches, and so copies, none of it
    _serve(control)
    os._exit(0)


if __name__ == "__main__":
    _main()
