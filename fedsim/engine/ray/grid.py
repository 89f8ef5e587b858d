"""The Ray grid: long-lived host actors, on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from flwr.app import RecordDict

from fedsim.engine.nodes.host import Host, HostPlan
from fedsim.engine.nodes.hosted import HostedGrid, LostError, NodeJob
from fedsim.engine.nodes.shared_memory import SharedMemory
from fedsim.engine.ray import transport as ray_letters
from fedsim.engine.ray.hosts import HostActor, Hosts
from fedsim.engine.ray.transport import Call, Large, PostedRecord, RayJob
from fedsim.strategies.flower import codec


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


class RayGrid(HostedGrid):
    """Nodes on Ray actors; see `HostedGrid`. A host takes CPUs, GPUs and what its class says of its machine."""

    kind = "ray"
    actor_type: ClassVar[type[HostActor]] = _HostActor
    hosts: Hosts

    def __init__(
        self,
        plan: HostPlan,
        data: Any,
        costs: Mapping[int, float],
        hosts: int,
        *,
        cpus_per_host: float = 1.0,
        gpus_per_host: float = 0.0,
        capacity_s: float = 300.0,
        **options: Any,
    ) -> None:
        super().__init__(plan.work.timeout_s, costs, hosts, **options)
        self._board = SharedMemory()
        self.hosts = Hosts(
            self.actor_type,
            plan,
            data,
            self.held_by,
            cpus=cpus_per_host,
            gpus=gpus_per_host,
            resources=self.resources,
            capacity_s=capacity_s,
            notice=self.notice,
        )

    def pack(self, shares: Mapping[int, tuple[int, Mapping[str, tuple[int, RecordDict]]]]) -> Iterable[NodeJob]:
        """Take the large records out of the messages; they go over the board to the hosts beside the driver."""
        large: dict[int, Large] = {}
        jobs = [ray_letters.pack(host, round, contents, large) for host, (round, contents) in shares.items()]
        if large and self.hosts.beside:
            ray_letters.post(self._board, large.values())
        return jobs

    def send(self, job: NodeJob) -> Any:
        """Call the host's actor."""
        return self.hosts.call(job.host, "handle_all", job.calls, *self._given(job))

    def alone(self, job: NodeJob, call: tuple[Any, ...], client: int) -> Any:
        """Have the actor train one client; see `HostedGrid.alone`."""
        return self.hosts.call(job.host, "alone", call, client, *self._given(job))

    def _given(self, job: NodeJob) -> list[Any]:
        assert isinstance(job, RayJob)
        return [large.to(job.host in self.hosts.beside) for large in job.large]

    def whole(self, job: NodeJob, answer: Any) -> Any:
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

    def close(self) -> None:
        """End the hosts."""
        super().close()
        self._board.close()
