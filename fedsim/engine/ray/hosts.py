"""The host actors of a run on Ray: started, watched while they work, and replaced when they are lost, never reused."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayError, RayTaskError
from ray.experimental import internal_kv
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fedsim.core import CapacityError, ClusterLostError, FedsimError
from fedsim.core.foreign.reference import carried
from fedsim.engine.nodes import hosted
from fedsim.engine.nodes.grid import Notice
from fedsim.engine.nodes.hosted import PATIENCE_S, PULSE_S, LostError, host_name, kills_for_memory, lighter
from fedsim.engine.nodes.shared_memory import Posted, Reader, SharedMemory, available
from fedsim.engine.ray import cluster as ray_cluster
from fedsim.strategies.flower import wire

ANSWER_S = 2.0
"""The cluster's control service answers within this time, or the driver goes on without."""
SEEN_S = 5.0
"""How long a dead process of Ray may take to be seen as dead, after its connection broke."""
CONTACT_S = 30.0
"""A host that has just come up answers within this time."""
CHECK_S = 5.0
"""The driver looks so often whether the cluster's control service still answers; Ray would end the process itself
after a minute without it."""


class HostActor:
    """What every host actor has: a host of some type, and a pulse."""

    host_type: ClassVar[type[Any]]

    def __init__(self, plan: Any, data: Any, nodes: Sequence[int], pulse: str) -> None:
        wire.register()
        threading.Thread(target=_beat, args=(pulse,), daemon=True).start()
        self.board, self.reader, self.beside = SharedMemory(), Reader(), False
        self.host = self.host_type(plan, data, nodes)

    def ready(self) -> tuple[str, int, str]:
        """Return how this host trains, once it can; its process and its machine."""
        return self.host.trainer.describe(), os.getpid(), ray.get_runtime_context().get_node_id()

    def meet(self, greeting: Posted, words: bytes) -> bool:
        """Find out whether the driver's boards can be read from here."""
        try:
            self.beside = available() and self.reader.read(greeting).tobytes() == words
        except (OSError, ValueError):
            self.beside = False
        return self.beside

    def software(self) -> dict[str, str]:
        """Return the versions of what this host computes with."""
        return ray_cluster.software()

    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """Call a method of this host's nodes."""
        found: dict[int, Any] = self.host.each(method, arguments)
        return found


def _beat(pulse: str) -> None:
    """Count up in the cluster's own key-value store; a frozen process cannot."""
    beats = 0
    while True:
        beats += 1
        try:
            internal_kv._internal_kv_put(pulse, str(beats), overwrite=True)
        except Exception:  # the cluster is gone, and so will this process be
            return
        time.sleep(PULSE_S)


class Hosts:
    """The actors of one run.

    Parameters
    ----------
    actor : a `HostActor`. nodes_of : the nodes of each host. cpus, gpus : what each host takes.
    resources : what each host takes besides, host by host.
    capacity_s : how long a host may wait for a place. notice : told what is being waited for.
    """

    def __init__(
        self,
        actor: type[HostActor],
        plan: Any,
        data: Any,
        nodes_of: Sequence[Sequence[int]],
        *,
        cpus: float,
        gpus: float,
        resources: Sequence[Mapping[str, float]],
        capacity_s: float,
        notice: Notice,
    ) -> None:
        self.plan, self.nodes_of, self.capacity_s, self.notice = plan, nodes_of, capacity_s, notice
        self.resources = resources
        self._share = {"CPU": cpus, "GPU": gpus}
        self.limit_s: float | None = None
        self._data = ray.put(carried(data))
        self._type = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0, scheduling_strategy="SPREAD")(actor)
        self._token = uuid4().hex
        self._checked = time.monotonic()
        self._killed_for_memory = kills_for_memory()
        self._places: dict[int, tuple[int, str]] = {}
        self.beside: set[int] = set()
        self.reader = Reader()
        self._door = SharedMemory()
        self._alike = {ray.get_runtime_context().get_node_id()}
        self.actors = [self._start(host) for host in range(len(nodes_of))]
        self.training = ""
        for host in range(len(nodes_of)):
            self.training = self._await_ready(host)

    def name(self, host: int) -> str:
        """Return a host's name for people."""
        return host_name(host, self.nodes_of[host])

    @property
    def machines(self) -> int:
        """On how many machines they are."""
        return len({node for _, node in self._places.values()})

    def call(self, host: int, method: str, *arguments: Any) -> Any:
        """Start a call; return its reference."""
        self.check_cluster()
        try:
            return getattr(self.actors[host], method).remote(*arguments)
        except OSError as error:
            raise self._cut_off(error) from error

    def wait(self, reference: Any, host: int, doing: str, limit_s: float | None = None) -> Any:
        """Return a call's result; say every few seconds what is being waited for, never hang in silence.

        Raises
        ------
        LostError : the host died, froze, or took longer than `limit_s`.
        FedsimError : as the host raised it. ClusterLostError : the host failed by a mistake of ours.
        """
        began = said = time.monotonic()
        pulse = _Pulse(self._key(host))
        while True:
            try:
                return ray.get(reference, timeout=1.0)
            except GetTimeoutError:
                pass
            except RayTaskError as error:
                raise _plain(error, self.name(host)) from error
            except RayError as error:
                self.check_cluster(thoroughly=True)
                raise self._lost(host, error) from error
            except OSError as error:
                raise self._cut_off(error) from error
            now = time.monotonic()
            self.check_cluster()
            if now - said > PATIENCE_S:
                said = now
                text = f"waiting for {self.name(host)} to {doing} for {now - began:.0f} s"
                self.notice(text, kind="waiting", host=f"host-{host}")
            limit = min(value for value in (limit_s, self.limit_s, float("inf")) if value is not None)
            if now - began > limit:
                raise LostError("timeout", f"{self.name(host)} did not {doing} within {limit:g} s")
            if pulse.silent_s() > hosted.HUNG_S:
                raise LostError("hung", f"{self.name(host)} is frozen: no sign of life for {hosted.HUNG_S:g} s")

    def kept(self, reference: Any, host: int, doing: str) -> Any:
        """Return a call's result; Ray's objects hold for good."""
        return self.wait(reference, host, doing)

    def _cut_off(self, error: OSError) -> ClusterLostError:
        """Return what a broken connection to Ray means; raise which of its processes died, once that can be seen."""
        until = time.monotonic() + SEEN_S
        while time.monotonic() < until:
            self.check_cluster(thoroughly=True)
            time.sleep(0.1)
        return ClusterLostError(f"the connection to Ray broke: {error}")

    def replace(self, host: int) -> None:
        """End what is left of a host and start a new one, empty."""
        self._end(host)
        self.actors[host] = self._start(host)
        self._await_ready(host)

    def check_cluster(self, *, thoroughly: bool = False) -> None:
        """Raise ClusterLostError when the cluster's control service, or this machine's part of it, is gone."""
        gone = "the Ray cluster is lost: {}; `fedsim resume` goes on from the last checkpoint"
        ended = ray_cluster.ended_here()
        if ended:
            raise ClusterLostError(gone.format(f"its {' and '.join(ended)} on this machine ended"))
        now = time.monotonic()
        if not thoroughly and now - self._checked < CHECK_S:
            return
        self._checked = now
        context = ray.get_runtime_context()
        address, _, port = context.gcs_address.rpartition(":")
        try:
            socket.create_connection((address, int(port)), 5.0).close()
        except OSError as error:
            raise ClusterLostError(gone.format(f"nothing answers at {address}:{port} ({error})")) from error
        if thoroughly:
            alive = {node["NodeID"] for node in _nodes() if node["Alive"]}
            if context.get_node_id() not in alive:
                raise ClusterLostError(gone.format("Ray on this machine has ended"))

    def close(self) -> None:
        """End all hosts; those of a session that has ended are cleared away with it."""
        for actor in [] if ray_cluster.ended_here() else self.actors:
            ray.kill(actor, no_restart=True)
        self.actors = []
        self._door.close()

    def _key(self, host: int) -> str:
        return f"fedsim-pulse-{self._token}-{host}"

    def _start(self, host: int) -> Any:
        kind = self._type.options(resources=dict(self.resources[host]))
        return kind.remote(self.plan, self._data, self.nodes_of[host], self._key(host))

    def _needs(self, host: int) -> str:
        taken = {**self._share, **self.resources[host]}
        return ", ".join(f"{amount:g} {name}" for name, amount in taken.items() if amount)

    def _await_ready(self, host: int) -> str:
        """Wait for a host to come up.

        Raises
        ------
        CapacityError : there is no place for it. ClusterLostError : it dies while it starts.
        """
        reference = self.actors[host].ready.remote()
        began = said = time.monotonic()
        while True:
            try:
                training, process, node = ray.get(reference, timeout=1.0)
                self._places[host] = (process, node)
                self._same_software(host, node)
                self._meet(host, node)
                return str(training)
            except GetTimeoutError:
                pass
            except RayTaskError as error:
                raise _plain(error, self.name(host)) from error
            except RayError as error:
                self.check_cluster(thoroughly=True)
                lost = self._lost(host, error)
                kind = CapacityError if lost.kind == "out-of-memory" else ClusterLostError
                raise kind(f"{self.name(host)} cannot start: {lost}") from error
            except OSError as error:
                raise self._cut_off(error) from error
            self.check_cluster()
            now = time.monotonic()
            waited = f"waiting for {self.name(host)} to start for {now - began:.0f} s"
            waiting = f"{waited}: it needs {self._needs(host)}, {_free()}"
            if now - began > self.capacity_s:
                advice = "fewer `engine.hosts` or `engine.gpus_per_host` would fit"
                raise CapacityError(f"{waiting}; {advice} (engine.capacity_timeout_s is {self.capacity_s:g})")
            if now - said > PATIENCE_S:
                said = now
                self.notice(waiting, kind="waiting", host=f"host-{host}")

    def _meet(self, host: int, node: str) -> None:
        """Ask a host on this machine whether it can read what stands on a board here."""
        if node != ray.get_runtime_context().get_node_id() or not available():
            return
        words = uuid4().bytes
        (greeting,) = self._door.write([np.frombuffer(words, np.uint8)])
        if ray.get(self.actors[host].meet.remote(greeting, words), timeout=CONTACT_S):
            self.beside.add(host)

    def _same_software(self, host: int, node: str) -> None:
        """Refuse a machine that joined the cluster with other software than this one's."""
        if node in self._alike:
            return
        there = ray.get(self.actors[host].software.remote(), timeout=ray_cluster.CHECK_S)
        machine = next((n["NodeManagerAddress"] for n in _nodes() if n["NodeID"] == node), node)
        ray_cluster.refuse_difference(machine, ray_cluster.software(), there)
        self._alike.add(node)

    def _end(self, host: int) -> None:
        """Kill a host. Ray forgets a frozen process without ending it, so that it is also killed by its number."""
        ray.kill(self.actors[host], no_restart=True)
        process, node = self._places.pop(host, (0, ""))
        self.beside.discard(host)
        self.reader.forget(process)
        if not process:
            return
        if node == ray.get_runtime_context().get_node_id():
            _kill(process)
            return
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        ray.remote(num_cpus=0, max_retries=0)(_kill).options(scheduling_strategy=there).remote(process)

    def _lost(self, host: int, error: RayError) -> LostError:
        """Tell apart what ended a host."""
        reason = " ".join(str(error).split())
        kills = kills_for_memory()
        short = isinstance(error, OutOfMemoryError) or "low on memory" in reason or "OUT_OF_MEMORY" in reason
        if short or kills > self._killed_for_memory:
            self._killed_for_memory = kills
            return LostError(
                "out-of-memory", f"{self.name(host)} was killed for memory; {lighter(self.plan, len(self.nodes_of))}"
            )
        why = reason.rpartition("The actor ")[2].partition(". ")[0][:160]
        return LostError("host-lost", f"{self.name(host)} was lost ({type(error).__name__}: {why})")


class _Pulse:
    """How long a host has given no sign of life, as seen from here."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._last: bytes | None = None
        self._since = time.monotonic()

    def silent_s(self) -> float:
        try:  # without a limit it would wait for a control service that is gone until Ray ends this process
            client: Callable[[], Any] = internal_kv.internal_kv_get_gcs_client
            beat = client().internal_kv_get(self._key.encode(), None, timeout=ANSWER_S)
        except RayError:
            beat = self._last
        if beat != self._last:
            self._last, self._since = beat, time.monotonic()
        return time.monotonic() - self._since


def _nodes() -> list[dict[str, Any]]:
    nodes: Callable[[], list[dict[str, Any]]] = ray.nodes
    return nodes()


def _kill(process: int) -> None:
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
        if b"ray" in command:  # the number may belong to another process by now
            os.kill(process, signal.SIGKILL)
    except OSError:
        return


def _free() -> str:
    """Say what a cluster has and what of it is free."""
    cluster_resources: Callable[[], dict[str, float]] = ray.cluster_resources
    available_resources: Callable[[], dict[str, float]] = ray.available_resources
    total, free = cluster_resources(), available_resources()
    parts = [f"{free.get(key, 0.0):g} of {total.get(key, 0.0):g} {key}" for key in ("CPU", "GPU") if total.get(key)]
    return f"free are {' and '.join(parts)}" if parts else "the cluster has neither CPU nor GPU left"


def _plain(error: RayTaskError, where: str) -> FedsimError:
    """Return what a host's own code raised, as an error of ours."""
    cause = error.cause
    return cause if isinstance(cause, FedsimError) else ClusterLostError(f"{where} failed: {cause!r}")
