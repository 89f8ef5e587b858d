"""The Ray grid: long-lived host actors, one call and one reply per host and round.

It must equal the serial grid bit for bit: hosts run the same `Host`, replies hold one sum per node, and nothing
depends on which reply came first.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import ray
from flwr.app import ArrayRecord, Message, RecordDict
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from fedsim.core import ClusterLostError, FedsimError
from fedsim.engine.grid import HostLostError, NodeGrid
from fedsim.engine.host import Host, HostPlan
from strategies.flower.arrays import ArrayView

INLINE_BYTES = 100_000
"""Records up to this size travel inside the call; larger ones once per machine through the object store."""
PATIENCE_S = 10.0
"""After this long without a word the driver says what it waits for."""

Call = tuple[int, RecordDict, dict[str, int]]


class _HostActor:
    """A host inside a Ray actor: takes records out of the call's references and hands the rest on."""

    def __init__(self, plan: HostPlan, data: Any, nodes: Sequence[int]) -> None:
        self.host = Host(plan, data, nodes)

    def ready(self) -> str:
        """Return how this host trains, once it can."""
        return self.host.trainer.describe()

    def handle_all(self, calls: Sequence[Call], *records: ArrayRecord) -> tuple[list[RecordDict], float]:
        """Answer a round's messages."""
        whole = []
        for node, content, shared in calls:
            for name, place in shared.items():
                content[name] = records[place]
            whole.append((node, content))
        return self.host.handle_all(whole)

    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """Call a method of this host's nodes."""
        return self.host.each(method, arguments)


@dataclass
class _Job:
    """What one host was asked in one round."""

    host: int
    keys: list[str]
    nodes: list[int]
    calls: list[Call]
    records: list[Any]
    attempts: int = 1
    reference: Any = None
    since: float = field(default_factory=time.monotonic)


def deal(costs: Mapping[int, float], hosts: int) -> list[list[int]]:
    """Deal nodes to hosts, largest predicted cost first, each to the host with the least so far.

    >>> deal({0: 5.0, 1: 1.0, 2: 3.0, 3: 1.0}, 2)
    [[0], [1, 2, 3]]
    """
    load = [0.0] * hosts
    dealt: list[list[int]] = [[] for _ in range(hosts)]
    for node in sorted(costs, key=lambda n: (-costs[n], n)):
        host = min(range(hosts), key=lambda h: (load[h], len(dealt[h]), h))
        load[host] += costs[node]
        dealt[host].append(node)
    return [sorted(nodes) for nodes in dealt]


class RayGrid(NodeGrid):
    """Nodes on Ray actors. A host that is lost is replaced, never reused.

    Parameters
    ----------
    costs : predicted work of each node, to deal the nodes to hosts.
    stateful : hosts hold client memories, so that a lost host cannot simply be asked again.
    """

    attempts = 3
    actor_type: ClassVar[type[Any]] = _HostActor

    def __init__(
        self,
        plan: HostPlan,
        data: Any,
        costs: Mapping[int, float],
        hosts: int,
        *,
        cpus_per_host: float = 1.0,
        gpus_per_host: float = 0.0,
        stateful: bool = False,
    ) -> None:
        super().__init__(len(costs))
        self.plan = plan
        self.stateful = stateful
        self.nodes_of = [nodes for nodes in deal(costs, min(hosts, len(costs))) if nodes]
        self.host_of = {node: host for host, nodes in enumerate(self.nodes_of) for node in nodes}
        self.retries: list[str] = []
        self._jobs: dict[int, _Job] = {}
        self._lost: set[int] = set()
        self._data = ray.put(data)
        self._actor = ray.remote(num_cpus=cpus_per_host, num_gpus=gpus_per_host, max_restarts=0)(self.actor_type)
        self._hosts = [self._start(host) for host in range(len(self.nodes_of))]
        ready = [self._wait(actor.ready.remote(), f"host {k} to start") for k, actor in enumerate(self._hosts)]
        self.training = ready[0]

    def _start(self, host: int) -> Any:
        return self._actor.remote(self.plan, self._data, self.nodes_of[host])

    def submit(self, batch: dict[str, Message]) -> None:
        """Send each host its share of the messages in one call."""
        shares: dict[int, dict[str, Message]] = {}
        for key, message in batch.items():
            shares.setdefault(self.host_of[self.node_of(message)], {})[key] = message
        put: dict[int, Any] = {}
        for host, share in sorted(shares.items()):
            job = _pack(host, {key: (self.node_of(m), m.content) for key, m in share.items()}, put)
            self._jobs[host] = job
            self._send(job)

    def _send(self, job: _Job) -> None:
        job.since = time.monotonic()
        job.reference = self._hosts[job.host].handle_all.remote(job.calls, *job.records)

    def gather(self, message_ids: Sequence[str]) -> dict[str, RecordDict]:
        """Collect every host's reply; ask a replacement when a host without memories is lost."""
        contents: dict[str, RecordDict] = {}
        seconds: dict[str, float] = {}
        for host in sorted(self._jobs):
            job = self._jobs[host]
            replies, taken = self._collect(job)
            contents.update(zip(job.keys, replies, strict=True))
            seconds[f"host-{host}"] = taken
        self._jobs.clear()
        self.host_seconds = seconds
        return {key: contents[key] for key in message_ids}

    def _collect(self, job: _Job) -> tuple[list[RecordDict], float]:
        where = f"host {job.host} (node{'s' if len(job.nodes) > 1 else ''} {', '.join(map(str, job.nodes))})"
        while True:
            try:
                collected: tuple[list[RecordDict], float] = self._wait(job.reference, where)
                return collected
            except RayTaskError as error:
                raise _plain(error, where) from error
            except RayError as error:
                reason = " ".join(str(error).split())[:300]
                if self.stateful:
                    self._lost.add(job.host)
                    raise HostLostError(f"{where} was lost with its clients' memories: {reason}") from error
                if job.attempts >= self.attempts:
                    raise ClusterLostError(f"{where} was lost {job.attempts} times: {reason}") from error
                job.attempts += 1
                self.retries.append(f"{where} was lost and its work sent to a new host ({type(error).__name__})")
                ray.kill(self._hosts[job.host], no_restart=True)
                self._hosts[job.host] = self._start(job.host)
                self._send(job)

    def _wait(self, reference: Any, what: str) -> Any:
        """Get a result; say every few seconds what is being waited for, never hang in silence."""
        waited = time.monotonic()
        said = waited
        while True:
            try:
                return ray.get(reference, timeout=1.0)
            except GetTimeoutError:
                now = time.monotonic()
                if now - said > PATIENCE_S:
                    said = now
                    self.notice(f"waiting for {what} for {now - waited:.0f} s")

    def replace_lost(self) -> None:
        """Let the hosts finish what they were asked; replace those that cannot."""
        for host, job in sorted(self._jobs.items()):
            try:
                self._wait(job.reference, f"host {host}")
            except RayError:
                self._lost.add(host)
        self._jobs.clear()
        for host in sorted(self._lost):
            ray.kill(self._hosts[host], no_restart=True)
            self._hosts[host] = self._start(host)
            self._wait(self._hosts[host].ready.remote(), f"host {host} to start again")
        self._lost.clear()

    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """Call a method of the nodes, all hosts at once."""
        calls = []
        for actor, nodes in zip(self._hosts, self.nodes_of, strict=True):
            calls.append(actor.each.remote(method, {node: arguments[node] for node in nodes if node in arguments}))
        results: dict[int, Any] = {}
        for host, reference in enumerate(calls):
            try:
                results.update(self._wait(reference, f"host {host} ({method})"))
            except RayTaskError as error:
                raise _plain(error, f"host {host}") from error
            except RayError as error:
                self._lost.add(host)
                raise HostLostError(f"host {host} was lost during {method}: {type(error).__name__}") from error
        return dict(sorted(results.items()))

    def describe(self) -> dict[str, Any]:
        """Return the hosts, their nodes and the training path."""
        return {
            "kind": "ray",
            "nodes": self.num_nodes,
            "hosts": {f"host-{host}": nodes for host, nodes in enumerate(self.nodes_of)},
            "training": self.training,
        }

    def close(self) -> None:
        """End the hosts."""
        for actor in self._hosts:
            ray.kill(actor, no_restart=True)
        self._hosts = []


def _plain(error: RayTaskError, where: str) -> FedsimError:
    """Return what a host's own code raised, as an error of ours."""
    cause = error.cause
    return cause if isinstance(cause, FedsimError) else ClusterLostError(f"{where} failed: {cause!r}")


def _record_bytes(record: ArrayRecord) -> int:
    return sum(a.numpy().nbytes if isinstance(a, ArrayView) else len(a.data) for a in record.values())


def _pack(host: int, share: dict[str, tuple[int, RecordDict]], put: dict[int, Any]) -> _Job:
    """Make one call of a host's messages: large array records go by reference, put once for all hosts of a round."""
    keys = sorted(share, key=lambda key: share[key][0])
    calls: list[Call] = []
    records: list[Any] = []
    places: dict[int, int] = {}
    for key in keys:
        node, content = share[key]
        light, shared = RecordDict(), {}
        for name, record in content.items():
            if not isinstance(record, ArrayRecord) or _record_bytes(record) <= INLINE_BYTES:
                light[name] = record
                continue
            if id(record) not in put:
                put[id(record)] = ray.put(record)
            if id(record) not in places:
                places[id(record)] = len(records)
                records.append(put[id(record)])
            shared[name] = places[id(record)]
        calls.append((node, light, shared))
    return _Job(host, keys, [share[key][0] for key in keys], calls, records)
