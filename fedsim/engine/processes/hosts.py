"""The host processes of a run: started, watched while they work, and replaced when they are lost, never reused."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from fedsim.core import CapacityError, ClusterLostError, FedsimError
from fedsim.core.foreign.reference import carried
from fedsim.engine.nodes import hosted
from fedsim.engine.nodes.grid import Notice
from fedsim.engine.nodes.host import HostPlan
from fedsim.engine.nodes.hosted import PATIENCE_S, LostError, host_name, kills_for_memory, lighter
from fedsim.engine.nodes.shared_memory import Reader
from fedsim.engine.processes.letters import Letter, Post
from fedsim.engine.processes.zygote import Zygote


@dataclass
class Place:
    """A live host process: its number, the connection to it, its pulse, and its answers.

    An answer can be had again until the host is called again: who goes back after a loss waits for all that was asked.
    """

    process: int
    connection: Connection
    pulse: int
    answers: dict[int, tuple[bool, Any]] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    seen: float = field(default_factory=time.monotonic)

    def take(self, patience_s: float) -> None:
        """Wait a while for an answer; raises EOFError or OSError when the process has ended."""
        if self.connection.poll(patience_s):
            number, sound, answer = pickle.loads(self.connection.recv_bytes())
            self.answers[number] = sound, answer

    def silent_s(self) -> float:
        """Return for how long it has given no sign of life, as seen from here."""
        with suppress(BlockingIOError):
            while os.read(self.pulse, 4096):
                self.seen = time.monotonic()
        return time.monotonic() - self.seen

    def close(self) -> None:
        """Let go of it, and end it at once."""
        self.connection.close()
        os.close(self.pulse)
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)


class Hosts:
    """The processes of one run; see `fedsim.engine.nodes.hosted.Backend`.

    Parameters
    ----------
    worker : a `Worker`, what each process is. nodes_of : the nodes of each host.
    zygote : their parent. notice : told what is being waited for.
    """

    machines = 1

    def __init__(
        self,
        worker: type[Any],
        plan: HostPlan,
        data: Any,
        nodes_of: Sequence[Sequence[int]],
        zygote: Zygote,
        notice: Notice,
    ) -> None:
        self.plan, self.nodes_of, self.notice = plan, nodes_of, notice
        self.limit_s: float | None = None
        self.post, self.reader = Post(), Reader()
        self._zygote = zygote
        self._own: Zygote | None = None
        self._numbers = count(1)
        self._killed_for_memory = kills_for_memory()
        self._given = Post()
        # by value where there is no reference: a class of a user's own script
        (self._start,) = self._given.write([(worker, plan, carried(data))], cloudpickle.dumps)
        self.places = [self._fork(host) for host in range(len(nodes_of))]
        self.training = ""
        for host in range(len(nodes_of)):
            self.training = self._await_ready(host)

    def name(self, host: int) -> str:
        """Return a host's name for people."""
        return host_name(host, self.nodes_of[host])

    def call(self, host: int, method: str, *arguments: Any) -> int:
        """Start a call; return its number."""
        return self.send(host, method, self.post.again(arguments))

    def send(self, host: int, method: str, letter: Letter) -> int:
        """Start a call whose arguments are in a letter; return its number."""
        number, place = next(self._numbers), self.places[host]
        for old in place.taken:
            del place.answers[old]
        place.taken.clear()
        with suppress(OSError):  # who has ended is found out while its answer is waited for
            place.connection.send_bytes(pickle.dumps((number, method, letter)))
        return number

    def wait(self, reference: int, host: int, doing: str, limit_s: float | None = None) -> Any:
        """Return a call's result, which holds until the host is called again; see `Backend.wait`."""
        return self._opened(self._answer(reference, host, doing, limit_s), host, copy=False)

    def _answer(self, reference: int, host: int, doing: str, limit_s: float | None = None) -> tuple[bool, Any]:
        place = self.places[host]
        began = said = time.monotonic()
        while reference not in place.answers:
            try:
                place.take(1.0)
            except (EOFError, OSError) as error:
                raise self._lost(host) from error
            now = time.monotonic()
            if now - said > PATIENCE_S:
                said = now
                text = f"waiting for {self.name(host)} to {doing} for {now - began:.0f} s"
                self.notice(text, kind="waiting", host=f"host-{host}")
            limit = min(value for value in (limit_s, self.limit_s, float("inf")) if value is not None)
            if reference in place.answers:
                break
            if now - began > limit:
                raise LostError("timeout", f"{self.name(host)} did not {doing} within {limit:g} s")
            if place.silent_s() > hosted.HUNG_S:
                raise LostError("hung", f"{self.name(host)} is frozen: no sign of life for {hosted.HUNG_S:g} s")
        place.taken.add(reference)
        return place.answers[reference]

    def _opened(self, answer: tuple[bool, Any], host: int, *, copy: bool) -> Any:
        sound, content = answer
        if not sound:
            if isinstance(content, FedsimError):
                raise content
            raise ClusterLostError(f"{self.name(host)} failed: {content}")
        try:
            return content.read(self.reader, copy=copy)
        except (OSError, ValueError) as gone:
            raise LostError("host-lost", f"{self.name(host)} was lost with its reply ({gone})") from gone

    def kept(self, reference: int, host: int, doing: str) -> Any:
        """Return a call's result, which holds for good; see `Backend.wait`."""
        return self._opened(self._answer(reference, host, doing), host, copy=True)

    def replace(self, host: int) -> None:
        """End what is left of a host and start a new one, empty."""
        self._end(host)
        self.places[host] = self._fork(host)
        self._await_ready(host)

    def close(self) -> None:
        """End all hosts."""
        for host in range(len(self.places)):
            self._end(host)
        self.places = []
        self.post.close()
        self._given.close()
        if self._own is not None:
            self._own.close()

    def _fork(self, host: int) -> Place:
        if not self._zygote.alive:  # killed, and its hosts with it
            self._zygote = self._own = Zygote()
        place = Place(*self._zygote.fork())
        letter = self.post.again((self._start, self.nodes_of[host]))
        for number, method, given in ((0, "open", letter), (-1, "ready", self.post.again(()))):
            with suppress(OSError):
                place.connection.send_bytes(pickle.dumps((number, method, given)))
        return place

    def _await_ready(self, host: int) -> str:
        """Wait for a host to come up.

        Raises
        ------
        CapacityError : there is no memory for it. ClusterLostError : it dies while it starts.
        """
        try:
            for number in (0, -1):
                told = self.kept(number, host, "start")
        except LostError as lost:
            kind = CapacityError if lost.kind == "out-of-memory" else ClusterLostError
            raise kind(f"{self.name(host)} cannot start: {lost}") from lost
        return str(told)

    def _end(self, host: int) -> None:
        place = self.places[host]
        self.reader.forget(place.process)
        place.close()
        self._zygote.end(place.process)

    def _lost(self, host: int) -> LostError:
        """Tell apart what ended a host."""
        code = self._zygote.end(self.places[host].process)
        kills = kills_for_memory()
        if kills > self._killed_for_memory and code == -signal.SIGKILL:
            self._killed_for_memory = kills
            text = f"{self.name(host)} was killed for memory; {lighter(self.plan, len(self.nodes_of))}"
            return LostError("out-of-memory", text)
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"it exited with code {code}"
        return LostError("host-lost", f"{self.name(host)} was lost ({how})")
