"""Mixing: with which weights a client averages what it hears, and how fast a sequence of such averages agrees.

With d_i the neighbours that client i hears and d_j those that hear j, in the graph as it was realised:

    metropolis   m_ij = 1 / (max(d_i, d_j) + 1), the rest to i itself    (Hastings 1970; Xiao and Boyd 2004)
    uniform      m_ij = m_ii = 1 / (d_i + 1)
    self_weight  m_ii = beta, m_ij = (1 - beta) / d_i, whatever the law

Rows sum to 1; on an undirected graph Metropolis-Hastings is symmetric, hence doubly stochastic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fedsim.core.contracts import Ids, Vector

Law = Literal["metropolis", "uniform"]
Target = Literal["all", "neighbours", "self"]
DENSE = 256
"""Up to so many clients the spectral gap comes from a full eigenvalue decomposition, beyond from power iteration."""
ITERATIONS = 300


@dataclass(frozen=True)
class Rows:
    """The rows of a mixing matrix that change anything: one for each client that merges, others keep their model.

    Attributes
    ----------
    clients : (M,) who merges, ascending.
    starts : (M + 1,) row k has the entries starts[k] to starts[k + 1].
    senders, sent : (K,) whose model, and the round in which it was sent (a client's own: this round); ascending.
    weights : (K,) m_ij, summing to 1 in each row.
    targets : (K,) weights of the variances in the target s2, summing to 1 in each row.
    """

    clients: Ids
    starts: Ids
    senders: Ids
    sent: Ids
    weights: Vector
    targets: Vector

    @staticmethod
    def empty() -> Rows:
        """Return the rows of a round in which nobody merges."""
        none, nothing = np.zeros(0, np.int64), np.zeros(0)
        return Rows(none, np.zeros(1, np.int64), none, none, nothing, nothing)

    @property
    def receivers(self) -> Ids:
        """Who merges, once for each entry, (K,)."""
        return np.repeat(self.clients, np.diff(self.starts))

    def of(self, chosen: npt.NDArray[np.bool_]) -> Rows:
        """Return some of the rows (M,)."""
        entries = np.repeat(chosen, np.diff(self.starts))
        lengths = np.diff(self.starts)[chosen]
        return Rows(
            self.clients[chosen],
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            self.senders[entries],
            self.sent[entries],
            self.weights[entries],
            self.targets[entries],
        )

    def matrix(self, num_clients: int) -> npt.NDArray[np.float64]:
        """Return the whole mixing matrix (N, N): the identity where nobody merges."""
        dense = np.eye(num_clients)
        dense[self.clients, self.clients] = 0.0
        np.add.at(dense, (self.receivers, self.senders), self.weights)
        return dense

    def apply(self, values: Vector) -> Vector:
        """Return the mixing matrix times a vector (N,)."""
        mixed = values.copy()
        if len(self.clients):
            mixed[self.clients] = np.add.reduceat(self.weights * values[self.senders], self.starts[:-1])
        return mixed


def rows(
    receivers: Ids,
    senders: Ids,
    sent: Ids,
    out_degrees: Ids,
    now: int,
    *,
    law: Law = "metropolis",
    self_weight: float | None = None,
    target: Target = "all",
) -> Rows:
    """Return the mixing rows for the models (K,) that were heard, in any order.

    Parameters
    ----------
    out_degrees : (K,) how many clients each model was sent to, d_j.
    now : the round; a client's own model enters as sent in it.
    """
    clients, places, counts = np.unique(receivers, return_inverse=True, return_counts=True)
    heard = counts[places]
    if self_weight is not None:
        weights = (1.0 - self_weight) / heard
        own = np.full(len(clients), float(self_weight))
    else:
        weights = 1.0 / (np.maximum(heard, out_degrees if law == "metropolis" else 0) + 1.0)
        own = 1.0 - np.bincount(places, weights, len(clients)) if law == "metropolis" else 1.0 / (counts + 1.0)
    who = np.concatenate([receivers, clients])
    whose = np.concatenate([senders, clients])
    when = np.concatenate([sent, np.full(len(clients), now)])
    order = np.lexsort((when, whose, who))
    mixed = np.concatenate([weights, own])[order]
    starts = np.concatenate([[0], np.cumsum(counts + 1)]).astype(np.int64)
    found = Rows(clients.astype(np.int64), starts, whose[order], when[order].astype(np.int64), mixed, mixed)
    return found if target == "all" else _aimed(found, target)


def _aimed(found: Rows, target: Target) -> Rows:
    """Return the rows with the variances' weights: the client's own alone, or the neighbours' alone, rescaled."""
    mine = found.receivers == found.senders
    if target == "self":
        targets = mine.astype(np.float64)
    else:
        others = np.where(mine, 0.0, found.weights)
        sums = np.add.reduceat(others, found.starts[:-1]) if len(others) else others
        spread = np.repeat(sums, np.diff(found.starts))
        targets = np.where(spread > 0, others / np.where(spread > 0, spread, 1.0), found.weights)
    return Rows(found.clients, found.starts, found.senders, found.sent, found.weights, targets)


def spectral_gap(window: Sequence[Rows], num_clients: int) -> float:
    """Return 1 - |lambda_2|^(1/T) of the product of a window of T mixing matrices: how much a round brings agreement.

    lambda_2 is the eigenvalue of second largest modulus, an eigenvalue 1 of the constant vector being the first. For a
    fixed matrix this is its own gap, whatever T. 0 without a window, and for clients that never hear each other.
    """
    if not window or num_clients < 2:
        return 0.0 if num_clients > 1 else 1.0
    modulus = _dense(window, num_clients) if num_clients <= DENSE else _power(window, num_clients)
    return float(1.0 - modulus ** (1.0 / len(window)))


def _dense(window: Sequence[Rows], num_clients: int) -> float:
    product = np.eye(num_clients)
    for step in window:
        product = step.matrix(num_clients) @ product
    # modulo constants: every other eigenvalue stays, the 1 of the constant vector becomes 0
    centred = product - product.mean(axis=0)
    return min(1.0, float(np.abs(np.linalg.eigvals(centred)).max()))


def _power(window: Sequence[Rows], num_clients: int) -> float:
    """Estimate the modulus by the growth of a vector, modulo constants, over the second half of many products."""
    vector = np.cos(np.arange(num_clients) * 2.399963229728653)  # the golden angle: no structure of a graph
    grown, halfway = 0.0, 0.0
    for product in range(ITERATIONS):
        for step in window:
            vector = step.apply(vector)
        vector = vector - vector.mean()
        length = float(np.linalg.norm(vector))
        if length < 1e-300:
            return 0.0
        vector = vector / length
        grown += np.log(length)
        halfway = grown if product == ITERATIONS // 2 - 1 else halfway
    return min(1.0, float(np.exp((grown - halfway) / (ITERATIONS - ITERATIONS // 2))))
