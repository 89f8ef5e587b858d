"""The round, in six verbs: choose, send, collect, step, record, save."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message

from fedsim.core import ClientError, Failure, NonFiniteError
from fedsim.core.contracts import Parameters
from fedsim.engine.environment import Environment
from fedsim.engine.experiment import Experiment
from fedsim.engine.grid import NodeGrid
from fedsim.engine.ledger import Ledger
from fedsim.engine.measure import round_values
from fedsim.engine.probe import Prober
from fedsim.engine.stopping import Signals
from fedsim.metrics.events import Evaluated, Event, Notice, RoundDone
from fedsim.metrics.rounds_csv import RoundsCsv
from fedsim.participation import ScheduleHash
from strategies.flower import arrays
from strategies.flower.adapter import Outcome, RuleStrategy, ServerState


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a recorded round: all that a checkpoint must hold besides the memories."""

    round: int
    server: ServerState
    ledger: Ledger
    shadows: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Loop:
    """Trains round after round and tells what happened.

    Parameters
    ----------
    emit : where events go. csv : the rows. overlap : a thread for evaluations while the next round trains; None
        evaluates at once. save_every : rounds between checkpoints, written by `checkpoint`; None for never.
    """

    experiment: Experiment
    environment: Environment
    strategy: RuleStrategy
    grid: NodeGrid
    run: str
    progress: Progress
    schedule: ScheduleHash
    emit: Callable[[Event], None]
    csv: RoundsCsv
    signals: Signals
    overlap: Executor | None = None
    checkpoint: Callable[[Progress], None] | None = None
    prober: Prober | None = None
    seconds: dict[str, list[float]] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    probed: dict[str, Any] = field(default_factory=dict)
    status: str = "completed"
    _clock: dict[str, float] = field(default_factory=dict)
    _evaluations: list[tuple[int, Future[tuple[dict[str, float], float]]]] = field(default_factory=list)

    def train(self, rounds: int) -> None:
        """Train until `rounds` rounds are done, or a condition of the scenario stops the run."""
        if self.progress.round == 0:
            self._evaluate(0, self.progress.server.params)
        for round in range(self.progress.round + 1, rounds + 1):
            self._clock = {}
            probed = self.probe(round)
            messages = self.choose(round)
            sent = self.send(messages)
            replies = self.collect(sent)
            outcome = self.step(round, replies)
            with self.signals.shielded():
                self.record(round, outcome, probed, last=round == rounds)
                self.save(round)
            if self.status != "completed":
                break
        self._settle(wait=True)

    def probe(self, round: int) -> dict[str, float]:
        """Measure bias and variance of the update that this round could bring, when that is due."""
        if self.prober is None or round % self.prober.every:
            return {}
        began = perf_counter()
        server, shadows = self.progress.server, self.progress.shadows
        found = self.prober.measure(self.grid, server.params, round, server.rule, shadows)
        self.probed = {"round": round, **{tag: estimate.table() for tag, estimate in found.items()}}
        values = {name: value for tag, estimate in found.items() for name, value in estimate.values(tag).items()}
        return values | {"probe_s": perf_counter() - began}

    def audit(self, round: int) -> dict[str, float]:
        """Sum all memories anew, when that is due, and return how far the running mean has drifted."""
        every = self.experiment.scenario.memory.audit
        mean = getattr(self.progress.server.rule, "mean", None)
        if every is None or mean is None or round % every:
            return {}
        return {"memory_drift": float(np.linalg.norm(mean - self.grid.audit(self.experiment.population.weights)))}

    def choose(self, round: int) -> Sequence[Message]:
        """Ask the world who is there and the rule what it needs; write the nodes' messages."""
        with self._timed("choose_s"):
            model = arrays.record(params=self.progress.server.params)
            return list(self.strategy.configure_train(round, model, ConfigRecord(), self.grid))

    def send(self, messages: Sequence[Message]) -> Sequence[str]:
        """Hand the messages to the hosts."""
        with self._timed("send_s"):
            return list(self.grid.push_messages(messages))

    def collect(self, sent: Iterable[str]) -> Sequence[Message]:
        """Wait for one reply from every node that was asked."""
        with self._timed("collect_s"):
            return list(self.grid.pull_messages(sent))

    def step(self, round: int, replies: Sequence[Message]) -> Outcome:
        """Add up, let the rule speak, move the model; refuse a failed client unless the scenario drops it."""
        with self._timed("step_s"):
            self.strategy.aggregate_train(round, replies)
        outcome = self.strategy.outcome
        assert outcome is not None
        if outcome.failures and self.experiment.scenario.on_client_error == "fail":
            raise refused(round, outcome.failures)
        return outcome

    def record(self, round: int, outcome: Outcome, probed: Mapping[str, float], *, last: bool) -> None:
        """Take note of the round: it is done from here on. Evaluate when it is due."""
        began = perf_counter()
        server = self.strategy.state
        assert server is not None
        rule, population = self.experiment.rule, self.experiment.population
        ledger = self.progress.ledger.after(rule, outcome, self.environment)
        shadows = self.prober.after(self.progress.shadows, outcome.cohort) if self.prober else {}
        self.progress = Progress(round, server, ledger, shadows)
        self.schedule.update(self.environment.scheduled)
        values = round_values(outcome, ledger, self.environment, rule, population, server.params)
        values |= {**self._phases(outcome), **probed, **self.audit(round)}
        self._settle(wait=False)
        finite = bool(np.isfinite(server.params).all())
        due = finite and (last or round % self.experiment.scenario.evaluate.every == 0)
        values["record_s"] = perf_counter() - began
        self.csv.add(round, values, awaits_evaluation=due)
        vectors = {"participants": outcome.cohort.clients}
        if due:
            vectors |= ledger.vectors(rule, population, round)
        self.emit(RoundDone(run=self.run, round=round, values=values, vectors=vectors))
        for failure in outcome.failures:
            self.emit(notice(self.run, round, failure))
        if due:
            self._evaluate(round, server.params)
        if not finite and self.experiment.scenario.on_divergence == "stop":
            self.status = "diverged"
        for name, value in values.items():
            if name.endswith("_s"):
                self.seconds.setdefault(name, []).append(value)
        self.seconds.setdefault("updates_per_s", []).append(len(outcome.cohort) / values["round_s"])

    def save(self, round: int) -> None:
        """Write a checkpoint when one is due."""
        every = self.experiment.scenario.checkpoint and self.experiment.scenario.checkpoint.every
        if self.checkpoint is not None and every and round % every == 0:
            self._settle(wait=True)
            began = perf_counter()
            self.checkpoint(self.progress)
            self.seconds.setdefault("save_s", []).append(perf_counter() - began)

    def forget_evaluations(self) -> None:
        """Let go of evaluations under way: the run goes back."""
        for _, future in self._evaluations:
            future.cancel()
        self._evaluations.clear()

    def _phases(self, outcome: Outcome) -> dict[str, float]:
        """Split the round's wall time: what the slowest host trained, what shipping cost, how long hosts idled."""
        clock = dict(self._clock)
        hosts = list(self.grid.host_seconds.values()) if outcome.replies else []
        slowest = max(hosts, default=0.0)
        clock["train_s"] = slowest
        clock["ship_s"] = max(0.0, clock["collect_s"] - slowest)
        clock["reduce_s"] = clock["step_s"]
        clock["idle_s"] = sum(slowest - host for host in hosts)
        clock["round_s"] = sum(self._clock.values())
        return clock

    def _timed(self, phase: str) -> _Stopwatch:
        return _Stopwatch(self._clock, phase)

    def _evaluate(self, round: int, params: Parameters) -> None:
        evaluator = self.experiment.evaluator

        def work() -> tuple[dict[str, float], float]:
            began = perf_counter()
            found = {names.get(name, name): value for name, value in evaluator.evaluate(params).items()}
            return found, perf_counter() - began

        names = {"loss": "test_loss", "accuracy": "test_accuracy"}
        if self.overlap is not None:
            self._evaluations.append((round, self.overlap.submit(work)))
            return
        done: Future[tuple[dict[str, float], float]] = Future()
        done.set_result(work())
        self._evaluations.append((round, done))
        self._settle(wait=True)

    def _settle(self, *, wait: bool) -> None:
        """Hand on the evaluations that are finished, in the order of rounds."""
        while self._evaluations and (wait or self._evaluations[0][1].done()):
            round, future = self._evaluations.pop(0)
            values, seconds = future.result()
            self.final = {"round": round, **values}
            values = values | {"evaluate_s": seconds}
            self.seconds.setdefault("evaluate_s", []).append(seconds)
            self.csv.evaluated(round, values)
            self.emit(Evaluated(run=self.run, round=round, values=values))


class _Stopwatch:
    """Adds the seconds spent inside a block to a clock."""

    def __init__(self, clock: dict[str, float], phase: str) -> None:
        self._clock, self._phase = clock, phase

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, *_: object) -> None:
        self._clock[self._phase] = self._clock.get(self._phase, 0.0) + perf_counter() - self._began


def notice(run: str, round: int, failure: Failure) -> Notice:
    """Return the event of a client that did not deliver."""
    last = failure.text.splitlines()[-1] if failure.text else failure.kind
    return Notice(run=run, round=round, kind=failure.kind, text=last, client=failure.client)


def refused(round: int, failures: Sequence[Failure]) -> Exception:
    """Return the error that stops a run whose scenario says `on_client_error: fail`."""
    first = failures[0]
    others = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    advice = "`on_client_error: drop` counts such clients as crashed and goes on"
    if first.kind in ("non-finite", "shape"):
        return NonFiniteError(f"round {round}, client {first.client}{others}: {first.text}; {advice}")
    return ClientError(f"round {round}, client {first.client}{others}: {first.kind}: {first.text}\n{advice}")
