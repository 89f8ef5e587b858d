"""What travels between the engine and the nodes: one task and one reply per node and round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedsim.core.client_half import NOTHING, Order
from fedsim.core.contracts import Ids, Parameters
from fedsim.core.sums import Asked, Sums

BUFFERS = "model.buffers"
"""The sum of the clients' buffers (b,), asked for beside those of the rule; no rule has a sum of this name."""

PAYLOAD = "payload_bytes"
"""The statistic of the bytes that clients sent up, where these are not a vector of the model's size for each."""


@dataclass(frozen=True)
class Failure:
    """One client that did not deliver: kind is raised | non-finite | shape | timeout | host | crash | message_loss."""

    client: int
    kind: str
    text: str


@dataclass(frozen=True)
class Task:
    """A round's work for one node: the model (d + b,), the ids that take part (ascending), and the sums to form.

    `remember` says that each client keeps its delta as h_i after the round; `attempt` counts deliveries of one task.
    `struck` are clients that brought their host down before in this round: they are not trained, only reported.
    `order` is what goes down beside the model. `everyone` are all clients of the node (ascending), when a sum goes over
    all memories.
    """

    round: int
    params: Parameters
    clients: Ids
    sums: Mapping[str, Asked]
    remember: bool = False
    attempt: int = 0
    struck: tuple[Failure, ...] = ()
    order: Order = NOTHING
    everyone: Ids | None = None


@dataclass(frozen=True)
class Reply:
    """What a node gives back: its sums over the clients that delivered, additive statistics, and the failures.

    `statistics` add up over nodes: counts, sums, sums of squares. `seconds` are wall-clock phases of this node.
    """

    node: int
    round: int
    clients: Ids
    sums: Sums
    statistics: Mapping[str, float] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
