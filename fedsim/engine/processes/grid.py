"""The grid of plain processes: long-lived hosts on this machine, forked from a clean parent, without Ray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from flwr.app import RecordDict

from fedsim.engine.nodes.host import HostPlan
from fedsim.engine.nodes.hosted import HostedGrid, NodeJob
from fedsim.engine.processes.hosts import Hosts
from fedsim.engine.processes.worker import Worker
from fedsim.engine.processes.zygote import Zygote


class ProcessGrid(HostedGrid):
    """Nodes in processes of this machine; see `HostedGrid`."""

    kind = "processes"
    worker_type: ClassVar[type[Worker]] = Worker
    hosts: Hosts

    def __init__(
        self, plan: HostPlan, data: Any, costs: Mapping[int, float], hosts: int, zygote: Zygote, **options: Any
    ) -> None:
        super().__init__(plan.work.timeout_s, costs, hosts, **options)
        self.hosts = Hosts(self.worker_type, plan, data, self.held_by, zygote, self.notice)

    def pack(self, shares: Mapping[int, tuple[int, Mapping[str, tuple[int, RecordDict]]]]) -> Iterable[NodeJob]:
        """Order each host's messages by their nodes."""
        for host, (round, contents) in shares.items():
            keys = sorted(contents, key=lambda key: contents[key][0])
            yield NodeJob(host, round, keys, [contents[key] for key in keys])

    def send_all(self, jobs: Sequence[NodeJob]) -> None:
        """Write all letters of a round together, so that what they share stands on the board once."""
        for job, letter in zip(jobs, self.hosts.post.write([self._given(job) for job in jobs]), strict=True):
            job.reference = self.hosts.send(job.host, "handle_all", letter)

    def send(self, job: NodeJob) -> Any:
        """Write one job's letter again."""
        return self.hosts.call(job.host, "handle_all", *self._given(job))

    def _given(self, job: NodeJob) -> tuple[Any, ...]:
        return (job.calls,)

    def alone(self, job: NodeJob, call: tuple[Any, ...], client: int) -> Any:
        """Have the host train one client; see `HostedGrid.alone`."""
        return self.hosts.call(job.host, "alone", call[0], call[1], client)
