"""The inside of a host process: a host of some type, which answers one call after the other, and a pulse.

A host dies with the driver: its connection ends, or its parent, which ends at once when the driver is gone.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, ClassVar

from fedsim.core import FedsimError
from fedsim.engine.nodes.host import Host
from fedsim.engine.nodes.hosted import PULSE_S
from fedsim.engine.nodes.shared_memory import Reader
from fedsim.engine.processes.letters import Post
from fedsim.strategies.flower import wire

PR_SET_PDEATHSIG = 1


class Worker:
    """What a host process answers: its public methods are the calls."""

    host_type: ClassVar[type[Any]] = Host

    def __init__(self, plan: Any, data: Any, nodes: Sequence[int]) -> None:
        self.host = self.host_type(plan, data, nodes)

    def ready(self) -> str:
        """Return how this host trains."""
        training: str = self.host.trainer.describe()
        return training

    def handle_all(self, *call: Any) -> Any:
        """Answer a round's messages; also the seconds it took."""
        return self.host.handle_all(*call)

    def alone(self, node: int, content: Any, client: int) -> None:
        """Train one client of a task by itself, to find out whether it brings its host down."""
        self.host.alone(node, content, client)

    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """Call a method of this host's nodes."""
        found: dict[int, Any] = self.host.each(method, arguments)
        return found


def serve(connection: Connection, pulse: int) -> None:
    """Answer calls until the driver ends the connection."""
    _end_with_parent()
    threading.Thread(target=_beat, args=(pulse,), daemon=True).start()
    wire.register()
    post, reader = Post(), Reader()
    worker: Any = None
    while True:
        try:
            number, method, letter = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            given = letter.read(reader)
            if method == "open":
                start, nodes = given
                kind, plan, data = start.read(Reader())  # a reader of its own: data stay mapped for good
                worker, answer = kind(plan, data, nodes), None
            else:
                answer = getattr(worker, method)(*given)
            (reply,) = post.write([answer])
            told = pickle.dumps((number, True, reply))
        except BaseException as error:
            told = pickle.dumps((number, False, _picklable(error)))
        try:
            connection.send_bytes(told)
        except OSError:
            return


def _picklable(error: BaseException) -> Any:
    """Return an error of ours as it is, and any other as text with its last lines."""
    if isinstance(error, FedsimError):
        return error
    return f"{error!r}\n{''.join(traceback.format_exception(error)[-3:])}"


def _beat(pulse: int) -> None:
    """Give a sign of life now and then; a frozen process cannot."""
    while True:
        try:
            os.write(pulse, b".")
        except BlockingIOError:
            pass
        except OSError:  # the driver is gone
            os._exit(1)
        time.sleep(PULSE_S)


def _end_with_parent() -> None:
    """Have the system kill this process when its parent ends, where it can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
