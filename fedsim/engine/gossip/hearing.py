"""What both grids with hosts do for gossip: what hosts publish in one phase goes to all of them in the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flwr.app import RecordDict

from fedsim.engine.nodes.hosted import HostedGrid


class HearingGrid(HostedGrid):
    """Nodes that hear each other. Hosts hold the models, so that a lost one rolls the run back.

    `published` says where the publications of the last phase are: never they themselves.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.published: list[Any] = []
        super().__init__(*arguments, **options)

    def gather(self, message_ids: Sequence[str]) -> dict[str, RecordDict]:
        """Collect every host's replies, and where they have published what."""
        contents: dict[str, RecordDict] = {}
        seconds: dict[str, float] = {}
        published: list[Any] = []
        for host in sorted(self._jobs):
            job = self._jobs[host]
            replies, taken, offers = self._collect(job)
            contents.update(zip(job.keys, replies, strict=True))
            seconds[f"host-{host}"] = taken
            published += offers
        self._jobs.clear()
        self.host_seconds, self.published = seconds, published
        return {key: contents[key] for key in message_ids}

    def replace_lost(self) -> None:
        """Start new hosts in place of lost ones, and forget what was published."""
        self.published = []
        super().replace_lost()
