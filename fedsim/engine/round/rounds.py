"""The round, in six verbs: choose, send, collect, step, record, save. What every kind of strategy shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, ParamSpec, TypeVar

import numpy.typing as npt
from flwr.app import Message

from fedsim.core import ClientError, Failure, NonFiniteError
from fedsim.core.contracts import Parameters
from fedsim.core.system.signals import Signals
from fedsim.engine.experiment import Experiment
from fedsim.engine.nodes.grid import Collected, NodeGrid
from fedsim.engine.round.callbacks import Callbacks
from fedsim.engine.round.early_stopping import EarlyStopping
from fedsim.engine.round.waiting import Play, Wanted
from fedsim.metrics.events import Evaluated, Event, Notice, RoundDone
from fedsim.metrics.metric import Metric, Round
from fedsim.metrics.rounds_csv import RoundsCsv
from fedsim.participation import ScheduleHash
from fedsim.participation.environment import Attendance, Environment
from fedsim.scenario.foreign import told_of

P = ParamSpec("P")
T = TypeVar("T")

NOTED = 10_000
"""The medians of the summary are over at most so many of the last rounds."""


def nowhere(point: str, round: int) -> None:
    """Pass a point of a round and do nothing."""


@dataclass(frozen=True)
class RunState:
    """All that a checkpoint holds besides what the nodes save: the strategy's own progress, and what ends the run."""

    progress: Any
    watch: EarlyStopping


@dataclass(frozen=True)
class Played:
    """A round as it was played: who was there, what it came to (`cohort`, `failures`), how long each host worked."""

    there: Attendance
    outcome: Any
    host_seconds: Mapping[str, float]


@dataclass(kw_only=True)
class Rounds(ABC):
    """Trains round after round and tells what happened.

    Parameters
    ----------
    emit : where events go. csv : the rows. checkpoint : writes one; it is asked every `checkpoint.every` rounds.
    at : is told of every phase of a round before it begins; tests stop the process there.
    metrics : those of this run that say themselves how they follow from a round.
    heard : is told of every evaluation once the round is saved, and may end the run.
    ready : looks before every round whether all is still in order; raises when it is not.
    """

    experiment: Experiment
    environment: Environment
    grid: NodeGrid
    run: str
    schedule: ScheduleHash
    emit: Callable[[Event], None]
    csv: RoundsCsv
    signals: Signals
    checkpoint: Callable[[], None] | None = None
    at: Callable[[str, int], None] = nowhere
    ready: Callable[[int], None] | None = None
    metrics: Sequence[Metric] = ()
    heard: Callbacks = field(default_factory=Callbacks)
    progress: Any = None
    watch: EarlyStopping = field(default_factory=EarlyStopping)
    seconds: dict[str, deque[float]] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    probed: dict[str, Any] = field(default_factory=dict)
    status: str = "completed"
    reason: str | None = None
    empty: bool = True
    """Whether nobody has taken part since this process trains."""
    clock: dict[str, float] = field(default_factory=dict)
    played: Played | None = None

    def train(self, rounds: int, until: int | None = None) -> Play[None]:
        """Train until `rounds` rounds are done, or a condition of the scenario stops the run; wait for each round.

        With `until` training ends after that round, of the `rounds` that the run has.
        """
        end = rounds if until is None else until
        if self.progress.round == 0:
            self.evaluate(0)
            self.settle(wait=True)
            if self.heard.waiting:
                self.heard.tell()
        self.status = self._verdict()
        while self.status == "completed" and self.progress.round < end:
            round = self.progress.round + 1
            self.clock = {}
            probe = self.experiment.scenario.probe
            probed = {} if probe is None else self.probe(round)
            if self.ready is not None:
                self.ready(round)
            self.at("choose", round)
            messages = self.timed("choose_s", self.choose, round)
            self.at("send", round)
            sent = self.timed("send_s", self.grid.push_messages, messages)
            self.at("collect", round)
            began = perf_counter()
            replies = yield Wanted(self.grid, sent)
            self.clock["collect_s"] = perf_counter() - began if replies.seconds is None else replies.seconds
            self.at("step", round)
            self.played = played = self.step(round, replies)
            with self.signals.shielded():
                self.at("record", round)
                self.record(round, played, probed, last=round == rounds)
                self.at("save", round)
                self.save(round)
            if self.heard.waiting:
                self.heard.tell()
            self.status = self._verdict() if round < rounds or not self.watch.finite else "completed"
        self.settle(wait=True)
        if self.heard.waiting:
            self.heard.tell()

    @property
    def standing(self) -> RunState:
        """Where the run stands after the last recorded round."""
        return RunState(self.progress, self.watch)

    def stand(self, standing: RunState) -> None:
        """Go back, or on, to where a run stood."""
        self.go_on_from(standing.progress)
        self.watch = standing.watch

    def _verdict(self) -> str:
        """Return how the run stands: diverged, stopped (with the reason), or completed, when nothing ends it."""
        scenario = self.experiment.scenario
        if not self.watch.finite and scenario.on_divergence == "stop":
            whose = told_of(scenario.strategy)
            self.reason = f"round {self.progress.round}: the global model is no longer finite{whose}"
            return "diverged"
        self.reason = (None if scenario.stop is None else self.watch.reason(scenario.stop)) or self.heard.reason
        return "completed" if self.reason is None else "stopped"

    @abstractmethod
    def first(self) -> Any:
        """Return the progress before round 1: `round`, and all else that a checkpoint must hold."""

    @abstractmethod
    def go_on_from(self, progress: Any) -> None:
        """Put the loop where it was at some progress."""

    def probe(self, round: int) -> dict[str, float]:
        """Measure what this round could bring, before it is known who comes."""
        return {}

    @abstractmethod
    def choose(self, round: int) -> Sequence[Message]:
        """Ask the world who is there and the strategy what it needs; write the nodes' messages."""

    @abstractmethod
    def step(self, round: int, replies: Collected) -> Played:
        """Let the strategy speak and the models move; return what the round came to."""

    def record(self, round: int, played: Played, probed: Mapping[str, float], *, last: bool) -> None:
        """Take note of the round: it is done from here on. Evaluate when it is due."""
        began, outcome = perf_counter(), played.outcome
        values = {**self.account(round, played), **probed}
        if self.metrics:
            values |= self.computed(self.seen(Round(round, outcome.cohort.clients, values), played))
        self.schedule.update(played.there.scheduled)
        self.empty = self.empty and not len(outcome.cohort)
        self.settle(wait=False)
        scenario, finite = self.experiment.scenario, self.finite()
        self.watch = self.watch.after_round(values)
        if scenario.stop is not None:
            self.watch = self.watch.seeing(scenario.stop, values)
            last = last or self.watch.reason(scenario.stop) is not None
        due = finite and (last or round % scenario.evaluate.every == 0)
        values["record_s"] = perf_counter() - began
        self.csv.add(round, values, awaits_evaluation=due)
        vectors = {"participants": outcome.cohort.clients}
        if due:
            vectors |= self.vectors(round, played)
        self.emit(RoundDone(run=self.run, round=round, values=values, vectors=vectors))
        for failure in outcome.failures:
            self.emit(notice(self.run, round, failure))
        if due:
            self.evaluate(round)
            self.settle(wait=bool(self.heard) or (scenario.stop is not None and scenario.stop.metric is not None))
        self.watch = replace(self.watch, finite=finite and (not due or self.finite()))
        took = {name: value for name, value in values.items() if name.endswith("_s")}
        self.took({**took, "updates_per_s": len(outcome.cohort) / values["round_s"]})

    def seen(self, round: Round, played: Played) -> Round:
        """Return a round for metrics to look at, with the models that this kind of loop has."""
        return round

    def computed(self, round: Round) -> dict[str, float]:
        """Return the metrics that say themselves how they follow from a round."""
        return {metric.name: float(metric.of(round)) for metric in self.metrics if metric.of is not None}

    @abstractmethod
    def account(self, round: int, played: Played) -> dict[str, float]:
        """Move on the progress and return the round's metrics."""

    def vectors(self, round: int, played: Played) -> dict[str, npt.NDArray[Any]]:
        """Return what is told per client in rounds that are evaluated."""
        return {}

    @abstractmethod
    def finite(self) -> bool:
        """Return whether the model is still finite."""

    @abstractmethod
    def evaluate(self, round: int) -> None:
        """Evaluate the model after a round, now or while the next one trains."""

    def settle(self, *, wait: bool) -> None:
        """Hand on the evaluations that are finished, in the order of rounds."""
        return

    def evaluated(self, round: int, values: Mapping[str, float], seconds: float) -> None:
        """Tell what an evaluation found."""
        self.final = {"round": round, **values}
        self.heard.await_turn(round, values)
        self.watch = self.watch.seeing(self.experiment.scenario.stop, values)
        values = {**values, "evaluate_s": seconds}
        self.took({"evaluate_s": seconds})
        self.csv.evaluated(round, values)
        self.emit(Evaluated(run=self.run, round=round, values=values))

    def forget_evaluations(self) -> None:
        """Let go of evaluations under way: the run goes back."""
        return

    def save(self, round: int) -> None:
        """Write a checkpoint when one is due."""
        every = self.experiment.scenario.checkpoint and self.experiment.scenario.checkpoint.every
        if self.checkpoint is not None and every and round % every == 0:
            self.settle(wait=True)
            began = perf_counter()
            self.checkpoint()
            self.took({"save_s": perf_counter() - began})

    @abstractmethod
    def results(self) -> tuple[dict[str, npt.NDArray[Any]], Parameters]:
        """Return what params.npz holds, by name, and the parameters that the summary's sha256 is over."""

    def refuse(self, round: int, failures: Sequence[Failure]) -> None:
        """Raise the error of a failed client, unless the scenario drops it."""
        if failures and self.experiment.scenario.on_client_error == "fail":
            raise refused(round, failures)

    def took(self, seconds: Mapping[str, float]) -> None:
        """Note how long things took, of the last rounds only: a run of a million needs no more memory for it."""
        for name, value in seconds.items():
            self.seconds.setdefault(name, deque(maxlen=NOTED)).append(value)

    def timed(self, phase: str, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Do a piece of the round under way, and add the seconds that it takes to a phase."""
        began = perf_counter()
        done = work(*given, **named)
        self.clock[phase] = self.clock.get(phase, 0.0) + perf_counter() - began
        return done

    def phases(self, host_seconds: Mapping[str, float]) -> dict[str, float]:
        """Split the round's wall time: what the slowest host trained, what shipping cost, how long hosts idled."""
        clock, hosts = dict(self.clock), list(host_seconds.values())
        slowest = max(hosts, default=0.0)
        clock["train_s"] = slowest
        clock["ship_s"] = max(0.0, clock["collect_s"] - slowest)
        clock["reduce_s"] = clock["step_s"]
        clock["idle_s"] = sum(slowest - host for host in hosts)
        clock["round_s"] = sum(self.clock.values())
        return clock


def notice(run: str, round: int, failure: Failure) -> Notice:
    """Return the event of a client that did not deliver."""
    last = _line(failure.text) or failure.kind
    return Notice(run=run, round=round, kind=failure.kind, text=last, client=failure.client)


def _line(text: str) -> str:
    """Return the one line that says most: what stands before a traceback, else its last."""
    lines = text.splitlines() or [""]
    return lines[0] if lines[1:] and lines[1].startswith("Traceback ") else lines[-1]


def refused(round: int, failures: Sequence[Failure]) -> Exception:
    """Return the error that stops a run whose scenario says `on_client_error: fail`."""
    first = failures[0]
    others = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    advice = "`on_client_error: drop` counts such clients as crashed and goes on"
    if first.kind in ("non-finite", "shape"):
        return NonFiniteError(f"round {round}, client {first.client}{others}: {first.text}; {advice}")
    line, _, trace = first.text.partition("\n")
    if trace.startswith("Traceback "):  # it begins with the user's own line
        error = ClientError(f"round {round}, client {first.client}{others}: {line}; {advice}")
        error.details = trace
        return error
    told = f"{first.kind}: {first.text}\n" if trace else f"{first.text}; "
    return ClientError(f"round {round}, client {first.client}{others}: {told}{advice}")
