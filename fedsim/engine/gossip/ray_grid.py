"""The Ray grid for gossip: what hosts publish goes from host to host through the object store, never to the driver.

A host puts its publication into the store and returns only a reference, boxed in a list so that nobody resolves it on
the way. The driver passes all hosts' references on as arguments of the next phase's calls; Ray maps them into the
hosts' memory without a copy, or ships them between machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import ray
from flwr.app import RecordDict
from ray.exceptions import ObjectLostError, RayTaskError

from fedsim.core import ClusterLostError
from fedsim.engine.gossip.hearing import HearingGrid
from fedsim.engine.gossip.peers import PeerHost
from fedsim.engine.nodes.grid import HostLostError
from fedsim.engine.nodes.hosted import NodeJob
from fedsim.engine.ray.grid import RayGrid
from fedsim.engine.ray.hosts import HostActor


class _PeerActor(HostActor):
    """A host of gossip inside a Ray actor."""

    host_type = PeerHost

    def handle_all(self, calls: Sequence[Any], *published: Any) -> tuple[list[RecordDict], float, list[Any]]:
        """Answer a phase's messages; the publication stays in the store."""
        whole = [(node, content) for node, content, _ in calls]
        replies, seconds, offers = self.host.handle_all(whole, published)
        return replies, seconds, [ray.put(offers)] if offers else []


class RayPeerGrid(HearingGrid, RayGrid):
    """Nodes on Ray actors that hear each other. Hosts hold the models, so that a lost one rolls the run back."""

    actor_type: ClassVar[type[HostActor]] = _PeerActor

    def send(self, job: NodeJob) -> Any:
        """Call the host's actor with the references of what all hosts published in the phase before."""
        return self.hosts.call(job.host, "handle_all", job.calls, *self.published)

    def _collect(self, job: NodeJob) -> Any:
        """Wait for a host's answer; one that misses what a lost host had published is itself gone back with it."""
        try:
            return super()._collect(job)
        except ClusterLostError as failure:
            cause = failure.__cause__
            if isinstance(cause, RayTaskError) and isinstance(cause.cause, ObjectLostError):
                raise HostLostError(f"host {job.host} misses what a lost host had published") from cause
            raise

    def whole(self, job: NodeJob, answer: Any) -> Any:
        """Nothing came apart."""
        return answer
