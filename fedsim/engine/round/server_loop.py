"""The rounds of a strategy with a server model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ConfigRecord, Message

from fedsim.clients.evaluation import reported
from fedsim.core import Rule
from fedsim.core.contracts import ADDED_UP, Parameters, Vector
from fedsim.engine.experiment import privacy
from fedsim.engine.experiment.probe import Prober
from fedsim.engine.nodes.grid import Collected
from fedsim.engine.round.measure import RunTotals, round_values, traffic
from fedsim.engine.round.rounds import Played, Rounds
from fedsim.metrics.metric import Round
from fedsim.strategies.flower import arrays
from fedsim.strategies.flower.adapter import RuleStrategy
from fedsim.strategies.flower.coordinator import Coordinator, ServerState


@dataclass(frozen=True)
class TrainingState:
    """Where a run stands after a recorded round: all that a checkpoint must hold besides the memories."""

    round: int
    server: ServerState
    ledger: RunTotals
    shadows: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Loop(Rounds):
    """Trains one global model: the rule says what the nodes add up, and moves the model by it.

    Parameters
    ----------
    overlap : a thread for evaluations while the next round trains; None evaluates at once.
    """

    strategy: Coordinator
    overlap: Executor | None = None
    prober: Prober | None = None
    _evaluations: list[tuple[int, Future[tuple[dict[str, float], float]]]] = field(default_factory=list)

    def first(self) -> TrainingState:
        """Return where a run stands before round 1."""
        server = self.strategy.begin(self.experiment.trainer.initial())
        _, told = self.experiment.told()
        ledger = RunTotals.start(self.experiment.population.num_clients, told)
        return TrainingState(0, server, ledger, self.prober.start() if self.prober else {})

    def go_on_from(self, progress: TrainingState) -> None:
        """Go on with a server state."""
        self.progress = progress
        self.strategy.state = progress.server

    def probe(self, round: int) -> dict[str, float]:
        """Measure bias and variance of the update that this round could bring, when that is due."""
        if self.prober is None or round % self.prober.every:
            return {}
        began = perf_counter()
        server, shadows = self.progress.server, self.progress.shadows
        found = self.prober.measure(
            self.grid, server.params, round, server.rule, shadows, self._rescaling(round), server.correction
        )
        self.probed = {"round": round, **{tag: estimate.table() for tag, estimate in found.items()}}
        values = {name: value for tag, estimate in found.items() for name, value in estimate.values(tag).items()}
        return values | {"probe_s": perf_counter() - began}

    def audit(self, round: int) -> dict[str, float]:
        """Sum all memories anew, and return how far their running means have drifted."""
        server, weights = self.progress.server, self.experiment.population.weights
        rule = self.experiment.scenario.strategy
        correction = rule.corrected_by() if isinstance(rule, Rule) else None
        means = {} if correction is None else correction.memory_means(server.correction)
        drifts = [float(np.linalg.norm(mean - self.grid.audit(weights, name))) for name, mean in means.items()]
        found = {"control_drift": max(drifts)} if drifts else {}
        mean = rule.memory_mean(server.rule)
        if mean is None:
            return found
        scale = self._rescaling(round)
        anew = self.grid.audit(weights if scale is None else weights * scale)
        return {**found, "memory_drift": float(np.linalg.norm(mean - anew))}

    def _rescaling(self, round: int) -> Vector | None:
        """Return what each client's memory is multiplied by at the rate of a round, None when nothing is."""
        strategy = self.strategy
        return strategy.rescaling(self.progress.server, round) if isinstance(strategy, RuleStrategy) else None

    def choose(self, round: int) -> Sequence[Message]:
        """Ask the world who is there and the rule what it needs; write the nodes' messages."""
        model = arrays.record(params=self.progress.server.params)
        return list(self.strategy.configure_train(round, model, ConfigRecord(), self.grid))

    def step(self, round: int, replies: Collected) -> Played:
        """Add up, let the rule speak, move the model; refuse a failed client unless the scenario drops it."""
        outcome = self.timed("step_s", self.strategy.conclude, round, replies.messages)
        self.refuse(round, outcome.failures)
        return Played(self.environment.attend(round), outcome, replies.host_seconds)

    def account(self, round: int, played: Played) -> dict[str, float]:
        """Move on server state, ledger and shadows; return the round's metrics."""
        server, outcome, there = self.strategy.state, played.outcome, played.there
        assert server is not None
        rule, population = self.experiment.scenario.strategy, self.experiment.population
        sent = traffic(outcome, there)
        ledger = self.progress.ledger.after(outcome, there, sent)
        shadows = self.prober.after(self.progress.shadows, outcome.cohort) if self.prober else {}
        self.progress = TrainingState(round, server, ledger, shadows)
        values = round_values(
            outcome, ledger, sent, there, rule, population, server.params[: self.experiment.trainer.layout.size]
        )
        every = self.experiment.scenario.memory.audit
        audited = {} if every is None or round % every else self.audit(round)
        return {**values, **self.phases(played.host_seconds), **audited}

    def seen(self, round: Round, played: Played) -> Round:
        """Show the global model after the round, and the rule's update."""
        params = self.progress.server.params[: self.experiment.trainer.layout.size]
        return replace(round, params=params, update=played.outcome.update)

    def vectors(self, round: int, played: Played) -> dict[str, npt.NDArray[Any]]:
        """Return the ledger's vectors, and those of the rule's own that the ledger does not add up."""
        ledger: RunTotals = self.progress.ledger
        told = {name: vector for name, vector in played.outcome.told.vectors.items() if name not in ADDED_UP}
        return told | ledger.vectors(self.experiment.rule, self.experiment.population, round)

    def finite(self) -> bool:
        """Return whether the global model is finite."""
        return bool(np.isfinite(self.progress.server.params).all())

    def results(self) -> tuple[dict[str, npt.NDArray[Any]], Parameters]:
        """Return the global model by name, and flat."""
        params = self.progress.server.params
        return self.experiment.trainer.named(params), params

    def forget_evaluations(self) -> None:
        """Let go of evaluations under way: the run goes back."""
        for _, future in self._evaluations:
            future.cancel()
        self._evaluations.clear()

    def evaluate(self, round: int) -> None:
        """Evaluate the global model, in the overlapping thread where there is one."""
        evaluator, params = self.experiment.evaluator, self.progress.server.params
        judge, scenario, population = self.experiment.judge, self.experiment.scenario, self.experiment.population

        def work() -> tuple[dict[str, float], float]:
            began = perf_counter()
            found = reported(evaluator.evaluate(params)) | (judge.evaluate(params, round) if judge else {})
            return found | privacy.spent(scenario, population, round), perf_counter() - began

        if self.overlap is not None:
            self._evaluations.append((round, self.overlap.submit(work)))
            return
        done: Future[tuple[dict[str, float], float]] = Future()
        done.set_result(work())
        self._evaluations.append((round, done))
        self.settle(wait=True)

    def settle(self, *, wait: bool) -> None:
        """Hand on the evaluations that are finished, in the order of rounds."""
        while self._evaluations and (wait or self._evaluations[0][1].done()):
            round, future = self._evaluations.pop(0)
            values, seconds = future.result()
            self.evaluated(round, values, seconds)
