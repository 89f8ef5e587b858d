"""How a node's clients send: every vector goes through the codec, and the server reads what came through.

With C the codec, m what the client keeps for a vector, x the vector and f = lr_t/lr_i where memories are used at
another learning rate than they were made with (else 1):

    none    read C(x)
    ef14    a = x + f m;   read C(a);   m <- a - C(a)                      (m is the error, a memory of its own)
    ef21    read g = f m + C(s (x - f m)) / s;   m <- g                    (m is h_i, what was read last)

The first time a client sends under ef21 it sends all of x. s = a_i/w_i is EF21-W's (Richtarik et al., ICLR 2024), 1
without weights: coding a_i x/w_i under weights w_i is the same as this under the rule's own weights a_i. Under feedback
an unbiased codec is divided by 1 + omega, which makes it a contraction. Each client's vector is coded by itself, with
chance keyed by (seed, vector, round, client), so that lanes, hosts and resumed runs have the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fedsim.clients.formats import Ids, Rows
from fedsim.clients.memory import Memory
from fedsim.core import rng
from fedsim.core.foreign.failures import ForeignError
from fedsim.core.sums import DELTA
from fedsim.core.uplink.codec import VALUE_BYTES, Codec, Row
from fedsim.strategies.flower.rates import Rates, ratio

ERROR = "uplink."
"""Before the name of a vector: the memory of its error."""
WRITTEN = "uplink round"
"""The memory of the round in which a client sent last, where memories are used at another learning rate."""


@dataclass(frozen=True)
class UplinkPlan:
    """What nodes must know of the uplink; `scales` are s_i (N,), `rescales` says that f is not 1."""

    codec: Codec
    seed: int
    scales: tuple[float, ...] | None = None
    rescales: bool = False

    def memories(self, kept: Iterable[str]) -> tuple[str, ...]:
        """Return the names of what clients keep for feedback, beside what they keep of vectors of these names.

        >>> from fedsim.core.uplink.sign import Sign
        >>> UplinkPlan(Sign(feedback="ef14"), 0).memories(["control"]), UplinkPlan(Sign(), 0).memories(["control"])
        (('uplink.delta', 'uplink.control'), ())
        """
        names = (DELTA, *(name for name in kept if name != DELTA))
        return tuple(ERROR + name for name in names) if self.codec.feedback == "ef14" else ()


@dataclass
class Uplink:
    """The uplink of one node in one round; `payload` and `square` count what was read: bytes, and |delta|^2."""

    plan: UplinkPlan
    memories: Mapping[str, Memory]
    rates: Rates
    round: int
    payload: int = 0
    square: float = 0.0
    notes: dict[str, Rows] = field(default_factory=dict)
    """What a lane's clients keep for feedback, by memory, until it is written."""

    def send(self, name: str, clients: Ids, rows: Rows) -> Rows:
        """Return what the server reads of the clients' vectors of a name, (C, d) float32."""
        feedback = self.plan.codec.feedback
        memory = self.memories.get(name if feedback == "ef21" else ERROR + name)
        if feedback == "none" or memory is None:
            read = self._coded(name, clients, rows)
        else:
            places, old = memory.read(clients)
            old = self._at_rate(name, clients[places], old)
            if feedback == "ef21":
                read = self._changed(name, clients, rows, places, old)
            else:
                whole = rows.copy()
                whole[places] += old
                read = self._coded(name, clients, whole, contract=True)
                self.notes[ERROR + name] = whole - read
        if name == DELTA:  # as the gate of deliveries adds up what was computed
            self.square += float(np.einsum("ij,ij->i", read, read, dtype=np.float64).sum())
        return read

    def sent_whole(self, count: int, size: int) -> None:
        """Count vectors that travel as they are."""
        self.payload += VALUE_BYTES * count * size

    def _changed(self, name: str, clients: Ids, rows: Rows, places: Ids, old: Rows) -> Rows:
        """Return the old vectors and the coded change; everything of those who have none."""
        self.sent_whole(len(clients) - len(places), rows.shape[1])
        if self.plan.codec.whole(rows.shape[1]):
            self.payload += self.plan.codec.nbytes(rows.shape[1]) * len(places)
            return rows
        known, scales = clients[places], self.plan.scales
        change = rows[places] - old
        if scales is not None:
            each = np.array(scales, np.float32)[known][:, None]
            change = self._coded(name, known, change * each, contract=True) / each
        else:
            change = self._coded(name, known, change, contract=True)
        read = rows.copy()
        read[places] = old + change
        return read

    def _coded(self, name: str, clients: Ids, rows: Rows, *, contract: bool = False) -> Rows:
        codec, seed, size = self.plan.codec, self.plan.seed, rows.shape[1]
        self.payload += codec.nbytes(size) * len(clients)
        if codec.whole(size):
            return rows
        read = np.empty_like(rows)
        for place, client in enumerate(clients.tolist()):
            chance = rng.stream(seed, f"uplink {name}", self.round, client)
            read[place] = _checked(codec, codec.code(rows[place].copy(), chance), size)
        if contract and codec.unbiased:
            read /= np.float32(1.0 + (codec.variance(size) or 0.0))
        return read

    def _at_rate(self, name: str, clients: Ids, old: Rows) -> Rows:
        if not self.plan.rescales or name != DELTA or not len(clients):
            return old
        _, written = self.memories[WRITTEN].read(clients)
        now = self.rates(self.round)
        factors = [ratio(now, self.rates(int(made))) for made in written[:, 0]]
        if all(factor == 1.0 for factor in factors):
            return old
        return old * np.array(factors, np.float32)[:, None]


def _checked(codec: Codec, read: Row, size: int) -> Row:
    if np.shape(read) != (size,):
        raise ForeignError(f"uplink.codec: {codec.codec}.code gave shape {np.shape(read)}, expected ({size},)")  # type: ignore[attr-defined]
    return read
