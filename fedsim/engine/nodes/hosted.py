"""What all grids with host processes share: nodes dealt to hosts, one call and one reply per host and round.

It must equal the serial grid bit for bit: hosts run the same `Host`, replies hold one sum per node, and nothing
depends on which reply came first. What a host is, and how calls get there, a grid says with its `Backend`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from flwr.app import Message, RecordDict

from fedsim.core import CapacityError, ClusterLostError, FedsimError
from fedsim.core.contracts import Ids
from fedsim.engine.nodes.grid import HostLostError, NodeGrid, Notice
from fedsim.engine.nodes.host import HostPlan
from fedsim.scenario import HostClass
from fedsim.strategies.flower import codec, wire

ATTEMPTS = 3
"""A host's work of one round is lost so often before its clients are tried one by one, and the run gives up."""
GRACE_S = 10.0
"""What a host may take beyond its clients' own `client.timeout_s`."""


PATIENCE_S = 10.0
"""After this long without a word the driver says what it waits for."""
PULSE_S = 2.0
"""A host's pulse beats so often, in a thread beside the training."""
HUNG_S = 20.0
"""A host whose pulse has not beaten for this long is frozen, and killed."""


class LostError(Exception):
    """A host cannot answer any more. `kind`: host-lost | out-of-memory | hung | timeout."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        super().__init__(text)


@dataclass
class NodeJob:
    """What one host was asked in one round; a call is a node, its message, and what else a grid adds."""

    host: int
    round: int
    keys: list[str]
    calls: list[tuple[Any, ...]]
    reference: Any = None

    def clients(self) -> list[tuple[tuple[Any, ...], Ids]]:
        """Return the calls with the clients that each trains, as far as they are told one by one."""
        return [(call, codec.clients(call[1])) for call in self.calls if codec.is_task(call[1])]


class Backend(Protocol):
    """The hosts of a run: they are called, waited for, and replaced."""

    limit_s: float | None
    training: str

    def name(self, host: int) -> str:
        """Return a host's name for people."""

    def call(self, host: int, method: str, *arguments: Any) -> Any:
        """Start a call; return its reference."""

    def wait(self, reference: Any, host: int, doing: str, limit_s: float | None = None) -> Any:
        """Return a call's result.

        Raises
        ------
        LostError : the host died, froze, or took longer than `limit_s`.
        FedsimError : as the host raised it. ClusterLostError : the host failed by a mistake of ours.
        """

    def kept(self, reference: Any, host: int, doing: str) -> Any:
        """Return a call's result as `wait` does, and let it hold beyond the host's next call."""

    def replace(self, host: int) -> None:
        """End what is left of a host and start a new one, empty."""

    def close(self) -> None:
        """End all hosts."""

    @property
    def machines(self) -> int:
        """On how many machines they are."""


def host_name(host: int, nodes: Sequence[int]) -> str:
    """Return a host's name for people.

    >>> host_name(1, [1, 3])
    'host-1 (nodes 1, 3)'
    """
    return f"host-{host} (node{'s' if len(nodes) > 1 else ''} {', '.join(map(str, nodes))})"


def lighter(plan: HostPlan, hosts: int) -> str:
    """Say which numbers of a scenario make hosts smaller."""
    work = plan.work
    parts = [f"engine.hosts (now {hosts})", f"client.lane (now {work.lane})"]
    parts += [f"client.lane_bytes (now {work.lane_bytes})"] if work.lane_bytes else []
    parts += ["memory.dtype (bfloat16)", "memory.tier (disk)"] if plan.memory else []
    return f"what needs less memory: lower {', '.join(parts)}"


def kills_for_memory() -> int:
    """Return how many processes the operating system has ended for memory, on this machine or in this container."""
    count = 0
    for place in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):
        try:
            lines = Path(place).read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        count += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return count


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


class HostedGrid(NodeGrid):
    """Nodes on host processes. A host that is lost is replaced, never reused.

    Parameters
    ----------
    timeout_s : `client.timeout_s`. costs : predicted work of each node, to deal the nodes to hosts.
    classes : nodes with hosts of their own; the others share `hosts` hosts, each of which takes `resources`.
    stateful : hosts hold client memories: a node stays where it is, and a lost host cannot simply be asked again.
    predict : predicted work of a message to a node; without memories the work is dealt anew in every round.
    """

    kind: str
    hosts: Backend

    def __init__(
        self,
        timeout_s: float | None,
        costs: Mapping[int, float],
        hosts: int,
        *,
        resources: Mapping[str, float] | None = None,
        classes: Sequence[HostClass] = (),
        stateful: bool = False,
        predict: Callable[[int, RecordDict], float] | None = None,
        notice: Notice | None = None,
    ) -> None:
        super().__init__(len(costs), notice)
        wire.register()
        self.timeout_s = timeout_s
        self.stateful = stateful
        others = tuple(sorted(costs.keys() - {node for kind in classes for node in kind.nodes}))
        shared = HostClass(nodes=others, hosts=min(hosts, len(others)), resources=resources or {})
        self._classes = [shared, *classes]
        dealt = [deal({node: costs[node] for node in kind.nodes}, kind.hosts) for kind in self._classes]
        self._class_of = [kind for kind in self._classes for _ in range(kind.hosts)]
        self.nodes_of = [nodes for nodes_of in dealt for nodes in nodes_of]
        self.predict = None if stateful else predict
        self.host_of = {node: host for host, nodes in enumerate(self.nodes_of) for node in nodes}
        self._jobs: dict[int, NodeJob] = {}
        self._lost: set[int] = set()
        self._losses: Counter[tuple[int, int]] = Counter()
        self._struck: dict[int, dict[int, tuple[str, str]]] = {}

    @property
    def held_by(self) -> list[list[int]]:
        """The nodes that each host must be able to run: its own, or any of its kind where they are dealt anew."""
        return self.nodes_of if self.predict is None else [sorted(kind.nodes) for kind in self._class_of]

    @property
    def resources(self) -> list[Mapping[str, float]]:
        """What each host takes of its machine's resources."""
        return [kind.resources for kind in self._class_of]

    @abstractmethod
    def pack(self, shares: Mapping[int, tuple[int, Mapping[str, tuple[int, RecordDict]]]]) -> Iterable[NodeJob]:
        """Make one job of each host's share of a round's messages: (round, node and content by key)."""

    @abstractmethod
    def send(self, job: NodeJob) -> Any:
        """Call the host for a job; return the reference."""

    def send_all(self, jobs: Sequence[NodeJob]) -> None:
        """Call the hosts for a round's jobs."""
        for job in jobs:
            job.reference = self.send(job)

    @abstractmethod
    def alone(self, job: NodeJob, call: tuple[Any, ...], client: int) -> Any:
        """Have the host train one client of a job by itself, for nothing; return the reference."""

    def whole(self, job: NodeJob, answer: Any) -> Any:
        """Return replies and seconds from a host's answer; raises LostError when it cannot be read any more."""
        return answer

    def submit(self, batch: dict[str, Message]) -> None:
        """Send each host its share of the messages in one call."""
        host_of = self.host_of if self.predict is None else self._dealt(batch.values())
        shares: dict[int, dict[str, Message]] = {}
        for key, message in batch.items():
            shares.setdefault(host_of[self.node_of(message)], {})[key] = message
        packed = {}
        for host, share in sorted(shares.items()):
            round = int(next(iter(share.values())).metadata.group_id or 0)
            packed[host] = (round, {key: (self.node_of(message), message.content) for key, message in share.items()})
        self._jobs.update({job.host: job for job in self.pack(packed)})
        for job in self._jobs.values():
            self._mark(job)
        self.send_all([*self._jobs.values()])

    def _dealt(self, messages: Iterable[Message]) -> dict[int, int]:
        """Deal a round's nodes to the hosts by the work that their messages bring."""
        assert self.predict is not None
        costs = {self.node_of(message): self.predict(self.node_of(message), message.content) for message in messages}
        host_of: dict[int, int] = {}
        first = 0
        for kind in self._classes:
            dealt = enumerate(deal({node: costs[node] for node in kind.nodes if node in costs}, kind.hosts), first)
            host_of |= {node: host for host, nodes in dealt for node in nodes}
            first += kind.hosts
        return host_of

    def _mark(self, job: NodeJob) -> None:
        """Tell the nodes of clients that brought their host down in this round, so that they are left out."""
        struck = self._struck.get(job.round)
        if struck:
            for call, _ in job.clients():
                codec.strike(call[1], struck)

    def gather(self, message_ids: Sequence[str]) -> dict[str, RecordDict]:
        """Collect every host's reply; ask a replacement when a host without memories is lost."""
        contents: dict[str, RecordDict] = {}
        seconds: dict[str, float] = {}
        for host in sorted(self._jobs):
            job = self._jobs[host]
            replies, taken = self._collect(job)
            contents.update(zip(job.keys, replies, strict=True))
            seconds[f"host-{host}"] = taken
        self.served = {f"host-{host}": [call[0] for call in job.calls] for host, job in self._jobs.items()}
        self._jobs.clear()
        self.host_seconds = seconds
        return {key: contents[key] for key in message_ids}

    def _collect(self, job: NodeJob) -> Any:
        while True:
            try:
                answer = self.hosts.wait(job.reference, job.host, f"train in round {job.round}", self._limit(job))
                return self.whole(job, answer)
            except LostError as lost:
                self._replace(job, lost)
                if self.stateful:
                    del self._jobs[job.host]
                    raise HostLostError(f"{lost}, and with it its clients' memories") from lost
                self._mark(job)
                job.reference = self.send(job)

    def _limit(self, job: NodeJob) -> float | None:
        """Return how long a job may take: hosts end slow clients themselves, lane by lane, then one by one."""
        if self.timeout_s is None or not job.clients():
            return None
        return GRACE_S + 3 * self.timeout_s * sum(len(clients) for _, clients in job.clients())

    def _replace(self, job: NodeJob, lost: LostError) -> None:
        """Put a new host in the place of a lost one; when it is lost again and again, look for a client to blame.

        Raises
        ------
        ClusterLostError, CapacityError : it was lost too often, and no client is to blame.
        """
        self._losses[job.host, job.round] += 1
        attempts = self._losses[job.host, job.round]
        self._tell(str(lost), lost.kind, job)
        self.hosts.replace(job.host)
        self._tell(f"{self.hosts.name(job.host)} was replaced ({attempts} of {ATTEMPTS})", "retry", job)
        if attempts < ATTEMPTS and lost.kind != "timeout":
            return
        found = self._culprits(job)
        for client, (kind, text) in found.items():
            self._tell(f"client {client}: {kind}: {text}", "culprit", job)
        if not found and attempts >= ATTEMPTS:
            error = CapacityError if lost.kind == "out-of-memory" else ClusterLostError
            who = ", ".join(str(client) for _, clients in job.clients() for client in clients) or "all of its nodes"
            raise error(f"round {job.round}: lost {attempts} times while it trained clients {who}: {lost}") from lost
        if found:
            self._losses[job.host, job.round] = 0
            self._struck.setdefault(job.round, {}).update(found)

    def _culprits(self, job: NodeJob) -> dict[int, tuple[str, str]]:
        """Train a job's clients one by one on the new host, for nothing; return those that bring it down."""
        found: dict[int, tuple[str, str]] = {}
        limit = None if self.timeout_s is None else GRACE_S + self.timeout_s
        for call, clients in job.clients():
            for client in clients.tolist():
                reference = self.alone(job, call, client)
                try:
                    self.hosts.wait(reference, job.host, f"train client {client} alone", limit)
                except LostError as lost:
                    slow = lost.kind in ("timeout", "hung")
                    found[client] = (
                        (
                            "timeout",
                            f"took longer than {self.timeout_s} s (client.timeout_s), and did not end by itself",
                        )
                        if slow
                        else ("host", f"its host died {ATTEMPTS + 1} times with it: {lost}")
                    )
                    self.hosts.replace(job.host)
        return found

    def _tell(self, text: str, kind: str, job: NodeJob) -> None:
        self.notice(text, kind=kind, host=f"host-{job.host}", round=job.round)

    def replace_lost(self) -> None:
        """Let the hosts finish what they were asked; replace those that cannot."""
        jobs, self._jobs = self._jobs, {}
        for host, job in sorted(jobs.items()):
            try:
                self.hosts.wait(job.reference, host, "finish", self._limit(job))
            except LostError as lost:
                self._tell(str(lost), lost.kind, job)
                self._lost.add(host)
            except FedsimError:
                continue  # what its clients did is of no interest any more
        for host in sorted(self._lost):
            self.hosts.replace(host)
        self._lost.clear()

    def each(self, method: str, arguments: Mapping[int, Sequence[Any]]) -> dict[int, Any]:
        """Call a method of the nodes, all hosts at once; a host that holds nothing is asked again when it is lost."""
        shares = [{node: arguments[node] for node in nodes if node in arguments} for nodes in self.nodes_of]
        calls = [self.hosts.call(host, "each", method, share) for host, share in enumerate(shares)]
        results: dict[int, Any] = {}
        for host, reference in enumerate(calls):
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    results.update(self.hosts.kept(reference, host, method))
                    break
                except LostError as lost:
                    self.notice(str(lost), kind=lost.kind, host=f"host-{host}")
                    if self.stateful or attempt == ATTEMPTS or self.hosts.limit_s is not None:
                        self._lost.add(host)
                        raise HostLostError(f"{lost}, during {method}") from lost
                    self.hosts.replace(host)
                    reference = self.hosts.call(host, "each", method, shares[host])
        return dict(sorted(results.items()))

    def hurry(self, limit_s: float) -> None:
        """Wait no longer than this for any host from here on."""
        self.hosts.limit_s = limit_s

    def describe(self) -> dict[str, Any]:
        """Return the hosts, their nodes and the training path."""
        return {
            "kind": self.kind,
            "nodes": self.num_nodes,
            "machines": self.hosts.machines,
            "hosts": {f"host-{host}": nodes for host, nodes in enumerate(self.nodes_of)},
            "training": self.hosts.training,
        }

    def close(self) -> None:
        """End the hosts."""
        self.hosts.close()
