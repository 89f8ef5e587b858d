"""The rounds of gossip: train, exchange from host to host, merge. The driver sees who and how much, never a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ArrayRecord, ConfigRecord, Message

from fedsim.core.contracts import Parameters
from fedsim.engine.gossip.measure import judged_values, peer_values
from fedsim.engine.nodes.grid import Collected
from fedsim.engine.round.rounds import Played, Rounds
from fedsim.metrics.events import Notice
from fedsim.strategies.flower.gossip import GossipStrategy, opened
from fedsim.strategies.gossip import GossipState
from fedsim.strategies.peers.mixing import Rows, spectral_gap


@dataclass(frozen=True)
class PeerProgress:
    """Where a run of gossip stands after a round, besides the models, which the nodes save themselves.

    `window` holds the mixing of the last rounds, as many as the spectral gap looks at; before round 1 empty rows.
    """

    round: int
    gossip: GossipState
    window: tuple[Rows, ...]
    virtual_s: float = 0.0


@dataclass(kw_only=True)
class GossipLoop(Rounds):
    """Trains the clients' own models; a round has a second exchange with the nodes, in which they merge."""

    strategy: GossipStrategy
    mean_is_finite: bool = True

    def first(self) -> PeerProgress:
        """Return where a run stands before round 1."""
        return PeerProgress(0, self.strategy.begin(), (Rows.empty(),) * self.strategy.rule.spectral_window)

    def go_on_from(self, progress: PeerProgress) -> None:
        """Go on with the messages and clocks of a round."""
        self.progress = progress
        self.strategy.state = progress.gossip

    def choose(self, round: int) -> Sequence[Message]:
        """Ask the world who is there, and the clocks whose turn it is."""
        return list(self.strategy.configure_train(round, ArrayRecord(), ConfigRecord(), self.grid))

    def step(self, round: int, replies: Collected) -> Played:
        """Note who delivered, tell the nodes who merges what, and have them do it."""
        strategy, busy = self.strategy, replies.host_seconds
        failures = self.timed("step_s", strategy.delivered, round, replies.messages)
        self.refuse(round, failures)
        messages = self.timed("step_s", lambda: list(strategy.configure_merge(round, self.grid)))
        sent = self.timed("send_s", self.grid.push_messages, messages)
        merged = self.timed("collect_s", self.grid.collect, sent)
        outcome = self.timed("step_s", strategy.conclude, round, merged.messages)
        again = merged.host_seconds
        both = {host: busy.get(host, 0.0) + again.get(host, 0.0) for host in {**busy, **again}}
        return Played(self.environment.attend(round), outcome, both)

    def account(self, round: int, played: Played) -> dict[str, float]:
        """Move on messages and clocks; return the round's metrics."""
        assert self.strategy.state is not None
        before, outcome, arrivals = self.progress, played.outcome, played.there.arrivals
        self.progress = PeerProgress(
            round,
            self.strategy.state,
            (*before.window[1:], outcome.exchange.rows),
            before.virtual_s + (arrivals.seconds if arrivals is not None else 0.0),
        )
        plan = self.experiment.peer_plan
        assert plan is not None
        values = peer_values(outcome, played.there, self.experiment.trainer.layout, plan)
        if arrivals is not None:
            values["virtual_s"] = self.progress.virtual_s
        if values.get("num_degenerate"):
            text = "averages without variance (such as A and -A) were left as they are"
            self.emit(Notice(run=self.run, round=round, kind="degenerate", text=text))
        return {**values, **self.phases(played.host_seconds)}

    def finite(self) -> bool:
        """Return whether the mean model was finite when it was last looked at."""
        return self.mean_is_finite

    def evaluate(self, round: int) -> None:
        """Have the nodes judge their clients' models, and the mean of all."""
        began = perf_counter()
        strategy = self.strategy
        self._exchange(strategy.configure_evaluate(round, ArrayRecord(), ConfigRecord(), self.grid))
        judged = opened(self._exchange(strategy.configure_judge(round, self.grid)))
        values = judged_values(judged, self.experiment.population.num_clients)
        window = self.progress.window[-round:] if round else ()
        if window:
            values["spectral_gap"] = spectral_gap(window, self.experiment.population.num_clients)
        self.mean_is_finite = bool(np.isfinite(values["consensus_distance"]))
        self.evaluated(round, values, perf_counter() - began)

    def _exchange(self, messages: Iterable[Message]) -> Sequence[Message]:
        return list(self.grid.send_and_receive(list(messages)))

    def results(self) -> tuple[dict[str, npt.NDArray[Any]], Parameters]:
        """Return all models (N, d) as `nodes` beside their mean by name, and all models for the sha256."""
        count, layout = self.experiment.population.num_clients, self.experiment.trainer.layout
        nodes = np.empty((count, layout.total), np.float32)
        for clients, models in self.grid.each("export", dict.fromkeys(range(self.grid.num_nodes), ())).values():
            nodes[clients] = models
        mean = np.add.reduce(nodes, axis=0, dtype=np.float64) / count
        return {"nodes": nodes, **self.experiment.trainer.named(mean.astype(np.float32))}, nodes
