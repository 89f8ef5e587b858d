"""A node of gossip: it holds its clients' models, trains them, offers them to others and merges what it is told to.

Models go from host to host as publications and never to the driver: what a method returns besides a publication is
small. What the optimiser keeps, as momentum, stays with the client, whose model it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.clients.delivery import Delivery, Faults
from fedsim.clients.evaluation import Evaluator
from fedsim.clients.gossip.merge import Merged, Row, TensorMoments, Tensors, merge, moments
from fedsim.clients.kernels import LaneResult
from fedsim.clients.training import Trainer
from fedsim.core.client_half import Given
from fedsim.core.contracts import Ids, Vector
from fedsim.core.state import save_arrays
from fedsim.strategies.peers.mixing import Rows

Models = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PeerPlan:
    """What a node of gossip must know besides its work: how many clients and nodes there are, and how to merge."""

    num_clients: int
    num_nodes: int
    weights: Vector
    correct: bool
    track: bool
    tensors: str
    common: bool


@dataclass(frozen=True)
class Publication:
    """What a node offers to the others after training: models (n, d) of some clients, and their moments (n, L)."""

    clients: Ids
    models: Models
    means: npt.NDArray[np.float64]
    variances: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Totals:
    """What a node offers for an evaluation: the sum of its clients' models (d,)."""

    total: Vector


Published = Mapping[int, Publication]


@dataclass
class _Waiting:
    """A model that came before it was needed, and how many merges it is still for."""

    model: Models
    means: npt.NDArray[np.float64]
    variances: npt.NDArray[np.float64]
    uses: int


class PeerNode:
    """One Flower node whose clients keep models of their own: client i lives on node i mod num_nodes."""

    def __init__(
        self,
        index: int,
        trainer: Trainer,
        plan: PeerPlan,
        evaluator: Evaluator,
        faults: Faults | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self.index, self.trainer, self.plan, self.evaluator = index, trainer, plan, evaluator
        self.faults, self.timeout_s = faults, timeout_s
        self.clients = np.arange(index, plan.num_clients, plan.num_nodes)
        self.tensors = Tensors.of(trainer.layout, plan.tensors)
        self._measured = plan.correct or plan.track
        self._start()

    def _start(self) -> None:
        """Go to the time before round 1."""
        if self.plan.common:
            self.models: Models = np.tile(self.trainer.initial(), (len(self.clients), 1))
        else:
            self.models = np.stack([self.trainer.initial(int(client)) for client in self.clients])
        self.kept: Models | None = None
        self.taken = np.zeros(len(self.clients), np.int64)
        self.inbox: dict[tuple[int, int], _Waiting] = {}
        self.moments = self._moments(self.models)
        self._stale = np.zeros(len(self.clients), bool)

    def _moments(self, models: Models) -> TensorMoments:
        if self._measured:
            return moments(models, self.tensors)
        nothing = np.zeros((len(models), len(self.tensors.slices)))
        return TensorMoments(nothing, nothing.copy())

    def _places(self, clients: Ids) -> Ids:
        return clients // self.plan.num_nodes

    def train(self, round: int, clients: Ids) -> tuple[dict[str, Any], Ids, Publication]:
        """Train some clients from their own models; return what is told, who delivered, and their publication."""
        places = self._places(clients)
        delivered: list[Ids] = [np.zeros(0, np.int64)]

        def take(lane: LaneResult) -> None:
            here = self._places(lane.clients)
            self.models[here, : lane.deltas.shape[1]] += lane.deltas
            if lane.buffers is not None:
                self.models[here, lane.deltas.shape[1] :] = lane.buffers
            if lane.kept is not None:
                if self.kept is None:
                    self.kept = np.zeros((len(self.models), lane.kept.shape[1]), np.float32)
                self.kept[here] = lane.kept
            taken[here] += 1
            delivered.append(lane.clients)

        taken = self.taken.copy()
        done = Delivery(
            self.trainer,
            self.faults,
            self.models[places],
            clients,
            round,
            None if self.kept is None else self.kept[places],
            timeout_s=self.timeout_s,
            given=self._given if self.trainer.carries else None,
        ).run(take)
        self.taken = taken
        good = np.concatenate(delivered)
        here = self._places(good)
        told: dict[str, Any] = {
            "statistics": done.statistics,
            "failures": [[f.client, f.kind, f.text] for f in done.failures],
        }
        before = self.moments.variances[here]
        offered = self.models if len(here) == len(self.models) else self.models[here]
        fresh = self._moments(offered)
        self.moments.means[here], self.moments.variances[here] = fresh.means, fresh.variances
        self._stale[here] = False
        if self.plan.track:
            told["variance_before"] = before.sum(axis=0).tolist()
            told["variance_trained"] = fresh.variances.sum(axis=0).tolist()
        return told, good, Publication(good, offered, fresh.means, fresh.variances)

    def _given(self, clients: Ids) -> Given:
        """Return where clients are in the batches that they carry over rounds."""
        return Given(taken=self.taken[self._places(clients)])

    def merge(self, round: int, rows: Rows, kept: tuple[Ids, Ids], published: Published) -> dict[str, Any]:
        """Merge models that were published in this round or wait in the inbox.

        Parameters
        ----------
        rows : who merges what. kept : senders of this round whose models must wait here, and for how many merges.
        """
        self._refresh(rows)
        made = [self._row(round, rows, k, published) for k in range(len(rows.clients))]
        out = np.empty((len(made), self.tensors.size), np.float32)
        tensors = self.tensors if self._measured else Tensors((), (), self.tensors.size)
        merged = merge(made, out, tensors, correct=self.plan.correct)
        self._tidy(round, rows)
        for sender, uses in zip(*(part.tolist() for part in kept), strict=True):
            self.inbox[round, sender] = self._keep(sender, uses, published)
        places = self._places(rows.clients)
        layout = self.trainer.layout
        if layout.buffers.local:
            out[:, layout.size :] = self.models[places, layout.size :]
        if len(places) == len(self.models):
            self.models = out
        else:
            self.models = self.models.copy()  # others may still be reading what was published
            self.models[places] = out
        if self._measured:
            self.moments.variances[places] = merged.after
            self._stale[places] = True
        return self._told(merged) if self._measured else {"merged": len(made)}

    def _refresh(self, rows: Rows) -> None:
        """Form the moments of models that were merged since they were last measured."""
        mine = self._places(rows.clients)
        stale = mine[self._stale[mine]]
        if self._measured and len(stale):
            fresh = moments(self.models[stale], self.tensors)
            self.moments.means[stale], self.moments.variances[stale] = fresh.means, fresh.variances
            self._stale[stale] = False

    def _row(self, round: int, rows: Rows, k: int, published: Published) -> Row:
        entries = slice(rows.starts[k], rows.starts[k + 1])
        found = [
            self._find(round, int(rows.clients[k]), sender, sent, published)
            for sender, sent in zip(rows.senders[entries].tolist(), rows.sent[entries].tolist(), strict=True)
        ]
        return Row(
            [model for model, _, _ in found],
            np.array([means for _, means, _ in found]),
            np.array([variances for _, _, variances in found]),
            rows.weights[entries],
            rows.targets[entries],
        )

    def _find(
        self, round: int, client: int, sender: int, sent: int, published: Published
    ) -> tuple[Models, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return a model and its moments: the client's own, a published one, or one that waits here."""
        if sender == client:
            place = sender // self.plan.num_nodes
            return self.models[place], self.moments.means[place], self.moments.variances[place]
        if sent == round:
            offer = published[sender % self.plan.num_nodes]
            place = int(np.searchsorted(offer.clients, sender))
            return offer.models[place], offer.means[place], offer.variances[place]
        waiting = self.inbox[sent, sender]
        return waiting.model, waiting.means, waiting.variances

    def _keep(self, sender: int, uses: int, published: Published) -> _Waiting:
        offer = published[sender % self.plan.num_nodes]
        place = int(np.searchsorted(offer.clients, sender))
        return _Waiting(offer.models[place].copy(), offer.means[place].copy(), offer.variances[place].copy(), uses)

    def _tidy(self, round: int, rows: Rows) -> None:
        """Let go of models that have been merged wherever they were for."""
        used = (rows.sent != round) & (rows.senders != rows.receivers)
        for key in zip(rows.sent[used].tolist(), rows.senders[used].tolist(), strict=True):
            self.inbox[key].uses -= 1
            if self.inbox[key].uses == 0:
                del self.inbox[key]

    def _told(self, merged: Merged) -> dict[str, Any]:
        return {
            "merged": len(merged.after),
            "variance_merged": merged.after.sum(axis=0).tolist(),
            "factor": merged.factors.sum(axis=0).tolist(),
            "factor_max": merged.factors.max(axis=0, initial=0.0).tolist(),
            "vanished": merged.vanished.sum(axis=0).tolist(),
        }

    def total(self) -> Totals:
        """Return the sum of this node's models, clients ascending."""
        total = np.zeros(self.tensors.size)
        for model in self.models:
            total += model
        return Totals(total)

    def judge(self, clients: Ids, published: Mapping[int, Totals]) -> tuple[dict[str, Any], dict[str, Vector]]:
        """Return how good the models of some clients are, how far all are from their mean; node 0 judges the mean."""
        mean = np.zeros(self.tensors.size)
        for _, part in sorted(published.items()):
            mean += part.total
        mean /= self.plan.num_clients
        distance = 0.0
        for model in self.models:
            away = (model - mean)[: self.trainer.layout.size]
            distance += float(np.einsum("i,i->", away, away))
        judged = [self.evaluator.evaluate(self.models[place]) for place in self._places(clients)]
        told: dict[str, Any] = {"distance": distance}
        if self.index == 0:
            told["mean"] = self.evaluator.evaluate(mean.astype(np.float32))
        names = judged[0].keys() if judged else ()
        return told, {name: np.array([found[name] for found in judged]) for name in names}

    def export(self) -> tuple[Ids, Models]:
        """Return this node's clients and their models."""
        return self.clients, self.models

    def save(self, folder: Path, round: int) -> None:
        """Write this node's models, what optimisers keep, and inbox into a checkpoint's folder."""
        arrays: dict[str, npt.NDArray[Any]] = {"models": self.models, "variances": self.moments.variances}
        if self.kept is not None:
            arrays["velocity"] = self.kept  # its name since the first version, in which it was momentum alone
        if self.trainer.carries:
            arrays["taken"] = self.taken
        if self.inbox:
            arrays["waiting"] = np.array([(*key, item.uses) for key, item in sorted(self.inbox.items())], np.int64)
            for name in ("model", "means", "variances"):
                arrays[f"waiting.{name}"] = np.stack([getattr(item, name) for _, item in sorted(self.inbox.items())])
        save_arrays(folder / f"node-{self.index}.npz", arrays)

    def restore(self, folder: Path | None, round: int) -> None:
        """Go back to what `save` wrote; without a folder, to the time before round 1."""
        self._start()
        if folder is None:
            return
        with np.load(folder / f"node-{self.index}.npz", allow_pickle=False) as arrays:
            self.models = arrays["models"]
            self.kept = arrays.get("velocity")
            self.taken = arrays.get("taken", self.taken)
            self.moments = TensorMoments(self._moments(self.models).means, arrays["variances"])
            self._stale[:] = True
            if "waiting" in arrays:
                kept, means, variances = (arrays[f"waiting.{name}"] for name in ("model", "means", "variances"))
                for row, (sent, sender, uses) in enumerate(arrays["waiting"].tolist()):
                    self.inbox[sent, sender] = _Waiting(kept[row], means[row], variances[row], uses)
