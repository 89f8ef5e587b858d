"""Gossip without rounds: clients train when their own clock says so, and models travel, wait, or get lost.

Time goes in ticks. A client trains every `interval` ticks, drawn anew each time, and sends its model to its
neighbours; a model arrives after its delay and waits in the receiver's buffer until enough are there to merge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le, Len

from fedsim.core import rng
from fedsim.core.config.tagged import Tagged
from fedsim.core.contracts import Ids

Ticks = Annotated[int, Ge(0)]


@dataclass(frozen=True, kw_only=True)
class Constant:
    """Every message takes equally long."""

    kind: Literal["constant"] = "constant"
    ticks: Ticks = 0
    """Ticks from sending to arrival; 0 arrives in the tick in which it was sent."""

    def draw(self, seed: int, round: int, senders: Ids, receivers: Ids) -> Ids:
        """Return the delays (K,) of the messages of a round."""
        return np.full(len(senders), self.ticks, np.int64)


@dataclass(frozen=True, kw_only=True)
class UniformWait:
    """Each message's delay is drawn from a range."""

    kind: Literal["uniform"] = "uniform"
    low: Ticks = 0
    """Shortest delay in ticks."""
    high: Ticks
    """Longest delay in ticks."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for an empty range."""
        if self.low > self.high:
            yield "high", f"must be at least low ({self.low}), got {self.high}"

    def draw(self, seed: int, round: int, senders: Ids, receivers: Ids) -> Ids:
        """Return the delays (K,) of the messages of a round."""
        chance = rng.uniforms(rng.digest(seed, "gossip.delay", round), senders, receivers)
        return self.low + np.floor(chance * (self.high - self.low + 1)).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Asynchronous:
    """Clients train and merge on clocks of their own; a round of the scenario is one tick."""

    interval: Annotated[tuple[Annotated[int, Ge(1)], ...], Len(2, 2)] = (1, 1)
    """Ticks from one training of a client to its next, [lowest, highest], drawn anew each time."""
    buffer: Annotated[int, Ge(1)] = 1
    """A client merges when so many models wait for it."""
    delay: Annotated[Constant | UniformWait, Tagged("kind")] = field(default_factory=Constant)
    """How long a message is under way."""
    loss: Annotated[float, Ge(0), Le(1)] = 0.0
    """Chance that a message is lost."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for an empty range."""
        if self.interval[0] > self.interval[1]:
            yield "interval", f"give [lowest, highest], got {list(self.interval)}"

    def clocks(self, seed: int, num_clients: int) -> Clocks:
        """Return the clocks before the first tick."""
        return self._wound(seed, Clocks(np.zeros(num_clients, np.int64), np.zeros(num_clients, np.int64)), 0)

    def advance(self, seed: int, clocks: Clocks, tick: int) -> tuple[Clocks, Ids]:
        """Return the clocks after a tick, and whose turn it was; who is absent then waits for the next turn."""
        return self._wound(seed, clocks, tick), np.flatnonzero(clocks.due == tick)

    def _wound(self, seed: int, clocks: Clocks, tick: int) -> Clocks:
        clients = np.arange(len(clocks.due))
        chance = rng.uniforms(rng.digest(seed, "gossip.interval"), clients, clocks.turns)
        low, high = self.interval
        wait = low + np.floor(chance * (high - low + 1)).astype(np.int64)
        ringing = clocks.due == tick
        return Clocks(np.where(ringing, tick + wait, clocks.due), clocks.turns + ringing)


@dataclass(frozen=True)
class Clocks:
    """When each client trains next, and how often its clock was wound, (N,) each."""

    due: Ids
    turns: Ids


@dataclass(frozen=True)
class Mail:
    """Messages that were sent and not merged yet, (K,) each, in no particular order.

    Attributes
    ----------
    senders, receivers, sent, arrival : who, to whom, in which tick, and when it is or was there.
    out_degrees : how many clients that model was sent to.
    """

    senders: Ids
    receivers: Ids
    sent: Ids
    arrival: Ids
    out_degrees: Ids

    @staticmethod
    def empty() -> Mail:
        """Return no messages."""
        return Mail(*(np.zeros(0, np.int64) for _ in range(5)))

    def __len__(self) -> int:
        return len(self.senders)

    def at(self, chosen: Ids) -> Mail:
        """Return some of the messages."""
        return Mail(
            self.senders[chosen],
            self.receivers[chosen],
            self.sent[chosen],
            self.arrival[chosen],
            self.out_degrees[chosen],
        )

    def and_(self, other: Mail) -> Mail:
        """Return both lots of messages."""
        return Mail(
            np.concatenate([self.senders, other.senders]),
            np.concatenate([self.receivers, other.receivers]),
            np.concatenate([self.sent, other.sent]),
            np.concatenate([self.arrival, other.arrival]),
            np.concatenate([self.out_degrees, other.out_degrees]),
        )
