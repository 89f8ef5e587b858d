"""What the global model is worth to each client: on the client's own examples, as it is or after local epochs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.clients.evaluation import BATCH, Evaluator
from fedsim.clients.training import Trainer
from fedsim.core import ClientData, Examples, LocalWork, rng
from fedsim.core.contracts import Ids, Parameters, Vector
from fedsim.models import Model
from fedsim.task import TaskMetric
from fedsim.task.loss import Loss

DECILES = 10
"""Into how many groups clients are put by how likely they are there."""


def own_part(data: ClientData) -> Any | None:
    """Return each client's own test part, None where data have none; data of somebody's own may have `own_test`.

    It has `num_examples` and `rows` as client data do.
    """
    return getattr(data, "own_test", None)


def judged_clients(counts: npt.NDArray[np.int64], wanted: int | None, seed: int) -> Ids:
    """Return the clients that are judged, ascending: all who hold examples, or `wanted` of them drawn by key."""
    able = np.flatnonzero(counts).astype(np.int64)
    if wanted is None or wanted >= len(able):
        return able
    return np.sort(able[rng.stream(seed, "evaluate.clients").permutation(len(able))[:wanted]])


@dataclass(frozen=True)
class ClientEvaluator:
    """Judges models on the examples of `clients` (M,): on their own test parts, else on what they train on.

    `personal` is the local work after which a client is judged again, None for none. Draws nothing that training
    draws, and changes nothing.
    """

    evaluator: Evaluator
    data: ClientData
    metric: TaskMetric
    clients: Ids
    model: Model
    loss: Loss
    seed: int
    personal: LocalWork | None = None
    _trainers: list[Trainer] = field(default_factory=list, repr=False)

    def evaluate(self, params: Parameters) -> Vector:
        """Return the metric of one model (d + b,) for each client (M,)."""
        found = self.evaluator.by_owner(params, self.metric, self._batches(self.clients))
        return np.array([found[client] for client in self.clients.tolist()])

    def personalised(self, params: Parameters, round: int) -> Vector:
        """Return the metric of each client's own model (M,): the local work from the global model (d + b,), alone.

        Batches and other draws have keys of their own; the rate is that of the round, of round 1 before it.
        """
        trainer, found = self.trainer, list[float]()
        size = trainer.layout.size
        for lane in trainer.lanes(params, self.clients, max(1, round)):
            for place, client in enumerate(lane.clients):
                own = params.copy()
                own[:size] += lane.deltas[place]
                if lane.buffers is not None:
                    own[size:] = lane.buffers[place]
                found += self.evaluator.by_owner(own, self.metric, self._batches(np.array([client]))).values()
        return np.array(found)

    @property
    def trainer(self) -> Trainer:
        """What trains for `personalised`; made once."""
        assert self.personal is not None, "asked for only where there is local work"
        if not self._trainers:
            seed = rng.digest(self.seed, "evaluate.personal") >> 65
            self._trainers.append(Trainer(self.model, self.personal, self.data, seed, loss=self.loss))
        return self._trainers[0]

    def _batches(self, clients: Ids) -> Iterator[tuple[Examples, Ids]]:
        """Yield the examples of clients, one client after the other, with their owners."""
        judged = own_part(self.data) or self.data
        counts = judged.num_examples[clients]
        owners = np.repeat(clients, counts)
        places = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        for first in range(0, len(owners), BATCH):
            whose = owners[first : first + BATCH]
            yield _gathered(judged, whose, places[first : first + BATCH]), whose


def _gathered(data: Any, whose: Ids, places: Ids) -> Examples:
    """Return examples by client and place, (B,) each, a client's places being consecutive.

    Asked for client by client where few rows beyond a client's last are made in vain, else one by one.
    """
    clients, heads, counts = np.unique(whose, return_index=True, return_counts=True)
    width = int(counts.max())
    if len(clients) * width > 4 * len(whose):
        rows = data.rows(whose, places[:, None])
        return Examples(rows.x[:, 0], rows.y[:, 0])
    rows = data.rows(clients, places[heads][:, None] + np.arange(width))
    held = np.arange(width) < counts[:, None]
    return Examples(rows.x[held], rows.y[held])


def personal_work(work: LocalWork, epochs: int) -> LocalWork:
    """Return the client's own local work, so many epochs long, with batches drawn afresh and nothing clipped."""
    return replace(work, local_steps=None, local_epochs=epochs, carry_batches=False, clip_update=None)


def spread(name: str, values: Vector, better: str | None) -> dict[str, float]:
    """Return how a metric is spread over clients (M,); who has no value (NaN) is left out.

    `sd` has denominator M, quantiles are interpolated, `worst_decile` is the mean over the worst tenth of the clients,
    rounded up: those with the highest values where lower is better.

    >>> found = spread("client_accuracy", np.arange(20) / 20, "higher")
    >>> [f"{found['client_accuracy_' + key]:.3f}" for key in ("mean", "q10", "q50", "q90", "worst_decile")]
    ['0.475', '0.095', '0.475', '0.855', '0.025']
    """
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return {}
    few = -(-len(known) // 10)
    worst = known[-few:] if better == "lower" else known[:few]
    low, middle, high = np.quantile(known, [0.1, 0.5, 0.9])
    found = {"mean": known.mean(), "sd": known.std(), "q10": low, "q50": middle, "q90": high}
    return {f"{name}_{key}": float(value) for key, value in {**found, "worst_decile": worst.mean()}.items()}


def by_presence(name: str, values: Vector, probabilities: Vector) -> dict[str, float]:
    """Return the mean of a metric over each tenth of clients (M,), `p1` those who are there least.

    Clients of one probability are taken by id, so that tenths are of one size, to within one client.

    >>> found = by_presence("client_accuracy", np.arange(10) / 10, np.arange(10, 0, -1) / 10)
    >>> found["client_accuracy_p1"], found["client_accuracy_p10"]
    (0.9, 0.0)
    """
    order = np.argsort(probabilities, kind="stable")
    tenths = [values[part][~np.isnan(values[part])] for part in np.array_split(order, DECILES)]
    return {f"{name}_p{k}": float(part.mean()) for k, part in enumerate(tenths, 1) if len(part)}
