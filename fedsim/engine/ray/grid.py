"""The Ray grid: long-lived host actors, one call and one reply per host and round.

It must equal the serial grid bit for bit: hosts run the same `Host`, replies hold one sum per node, and nothing
depends on which reply came first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from flwr.app import Message, RecordDict

from fedsim.core import CapacityError, ClusterLostError, FedsimError
from fedsim.engine.nodes.grid import HostLostError, NodeGrid, Notice
from fedsim.engine.nodes.host import Host, HostPlan
from fedsim.engine.ray import transport as ray_letters
from fedsim.engine.ray.hosts import HostActor, Hosts, LostError
from fedsim.engine.ray.shared_memory import SharedMemory
from fedsim.engine.ray.transport import Call, Large, NodeJob, PostedRecord
from fedsim.scenario import HostClass
from fedsim.strategies.flower import codec, wire

ATTEMPTS = 3
"""A host's work of one round is lost so often before its clients are tried one by one, and the run gives up."""
GRACE_S = 10.0
"""What a host may take beyond its clients' own `client.timeout_s`."""


class _HostActor(HostActor):
    """A host inside a Ray actor: puts each message together from what came apart, and takes the replies apart."""

    host_type = Host

    def handle_all(
        self, calls: Sequence[Call], *given: Any
    ) -> tuple[list[RecordDict], float, list[dict[str, PostedRecord]]]:
        """Answer a round's messages; also the seconds it took, and where the large records of the replies are."""
        whole = [ray_letters.unpack(call, given, self.reader) for call in calls]
        tasks = all(codec.is_task(content) for _, content in whole)  # a stock strategy may keep what it was sent
        replies, seconds = self.host.handle_all(whole)
        return (
            replies,
            seconds,
            ray_letters.detach(replies, self.board) if tasks and self.beside else [{}] * len(replies),
        )

    def alone(self, call: Call, client: int, *given: Any) -> None:
        """Train one client of a task by itself, to find out whether it brings its host down."""
        self.host.alone(*ray_letters.unpack(call, given, self.reader), client)


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
    classes : nodes with hosts of their own; the others share `hosts` hosts, each of which takes `resources`.
    stateful : hosts hold client memories: a node stays where it is, and a lost host cannot simply be asked again.
    predict : predicted work of a message to a node; without memories the work is dealt anew in every round.
    """

    actor_type: ClassVar[type[HostActor]] = _HostActor

    def __init__(
        self,
        plan: HostPlan,
        data: Any,
        costs: Mapping[int, float],
        hosts: int,
        *,
        cpus_per_host: float = 1.0,
        gpus_per_host: float = 0.0,
        resources: Mapping[str, float] | None = None,
        classes: Sequence[HostClass] = (),
        capacity_s: float = 300.0,
        stateful: bool = False,
        predict: Callable[[int, RecordDict], float] | None = None,
        notice: Notice | None = None,
    ) -> None:
        super().__init__(len(costs), notice)
        wire.register()
        self.timeout_s = plan.work.timeout_s
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
        self._board = SharedMemory()
        self._lost: set[int] = set()
        self._losses: Counter[tuple[int, int]] = Counter()
        self._struck: dict[int, dict[int, tuple[str, str]]] = {}
        self.hosts = Hosts(
            self.actor_type,
            plan,
            data,
            self.nodes_of if self.predict is None else [sorted(kind.nodes) for kind in self._class_of],
            cpus=cpus_per_host,
            gpus=gpus_per_host,
            resources=[kind.resources for kind in self._class_of],
            capacity_s=capacity_s,
            notice=self.notice,
        )

    def submit(self, batch: dict[str, Message]) -> None:
        """Send each host its share of the messages in one call."""
        host_of = self.host_of if self.predict is None else self._dealt(batch.values())
        shares: dict[int, dict[str, Message]] = {}
        for key, message in batch.items():
            shares.setdefault(host_of[self.node_of(message)], {})[key] = message
        large: dict[int, Large] = {}
        for host, share in sorted(shares.items()):
            round = int(next(iter(share.values())).metadata.group_id or 0)
            contents = {key: (self.node_of(message), message.content) for key, message in share.items()}
            self._jobs[host] = ray_letters.pack(host, round, contents, large)
        if large and self.hosts.beside:
            ray_letters.post(self._board, large.values())
        for job in self._jobs.values():
            self._mark(job)
            self._send(job)

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

    def _send(self, job: NodeJob) -> None:
        job.reference = self.hosts.call(job.host, "handle_all", job.calls, *self._given(job))

    def _given(self, job: NodeJob) -> list[Any]:
        return [large.to(job.host in self.hosts.beside) for large in job.large]

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
                return self._whole(job, answer)
            except LostError as lost:
                self._replace(job, lost)
                if self.stateful:
                    del self._jobs[job.host]
                    raise HostLostError(f"{lost}, and with it its clients' memories") from lost
                self._mark(job)
                self._send(job)

    def _whole(self, job: NodeJob, answer: Any) -> Any:
        """Put replies together with what their host posted.

        Raises
        ------
        LostError : the host ended after it had replied, and its board with it.
        """
        replies, taken, posted = answer
        try:
            ray_letters.attach(replies, posted, self.hosts.reader)
        except (OSError, ValueError) as gone:
            raise LostError("host-lost", f"{self.hosts.name(job.host)} was lost with its reply ({gone})") from gone
        return replies, taken

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
                reference = self.hosts.call(job.host, "alone", call, client, *self._given(job))
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
                    results.update(self.hosts.wait(reference, host, method))
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
            "kind": "ray",
            "nodes": self.num_nodes,
            "machines": self.hosts.machines,
            "hosts": {f"host-{host}": nodes for host, nodes in enumerate(self.nodes_of)},
            "training": self.hosts.training,
        }

    def close(self) -> None:
        """End the hosts."""
        self.hosts.close()
        self._board.close()
