"""Where a round's time goes: phases of the driver and of every host, measured in a run of a few rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from time import perf_counter

from fedsim.core.system.signals import listener
from fedsim.engine.experiment import build
from fedsim.engine.round.server_loop import Loop
from fedsim.engine.run.folder import create
from fedsim.engine.run.session import Session
from fedsim.metrics import MetricsConfig, new_run_id
from fedsim.metrics.events import Evaluated, Event
from fedsim.metrics.sinks.base import Sink
from fedsim.scenario import Scenario

PHASES = ("choose", "train", "reduce", "ship", "step", "record", "evaluate", "save", "idle")
"""In the order in which they are shown. What each of them is says `MEANING`."""
MEANING = {
    "choose": "who takes part, what the rule asks for, the messages",
    "train": "local training",
    "reduce": "a host's work besides: reading tasks, checking deltas, sums, memories",
    "ship": "sending and receiving beyond the slowest host's time: transport, copies, waking up",
    "step": "adding up the nodes' sums, the rule, the new parameters",
    "record": "metrics, ledger, rounds.csv, handing the event to the recorder",
    "evaluate": "the global model on the held-out split, where the round waits for it",
    "save": "a checkpoint",
    "idle": "waiting for others",
}


@dataclass(frozen=True)
class RoundProfile:
    """One round: its wall time, and for each actor (the driver, each host) seconds by phase; they add up to it."""

    round: int
    wall_s: float
    phases: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Profile:
    """What a profiled run came to; `rounds` without the first, which warms up."""

    name: str
    training: str
    rounds: Sequence[RoundProfile]

    @property
    def actors(self) -> list[str]:
        """The driver first, then the hosts; in one process there is only one."""
        return list(self.rounds[0].phases)

    @property
    def wall_s(self) -> float:
        """Median seconds of a round."""
        return median(one.wall_s for one in self.rounds)

    @property
    def typical(self) -> RoundProfile:
        """The round of median length (the longer of the two in the middle)."""
        return sorted(self.rounds, key=lambda one: one.wall_s)[len(self.rounds) // 2]

    def mean(self, actor: str, phase: str) -> float:
        """Mean seconds a round; unlike medians, means of phases add up to the mean round."""
        return sum(one.phases.get(actor, {}).get(phase, 0.0) for one in self.rounds) / len(self.rounds)


@dataclass
class _Marks:
    """When each phase of one round began, and what the hosts said about it."""

    times: dict[str, float] = field(default_factory=dict)
    hosts: dict[str, float] = field(default_factory=dict)
    trained: dict[str, float] = field(default_factory=dict)


class Profiler(Sink):
    """Listens to a session's phases (`at`) and to its evaluations (as a sink)."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.marks: dict[int, _Marks] = {}
        self.evaluations: dict[int, float] = {}
        self.end = 0.0

    def at(self, point: str, round: int) -> None:
        """Note the time at which a phase begins."""
        marks = self.marks.setdefault(round, _Marks())
        marks.times[point] = perf_counter()
        loop = None if self.session is None else self.session.loop
        if point == "record" and loop is not None:
            played = loop.played
            assert played is not None, "a round is recorded when it has been played"
            marks.hosts = dict(played.host_seconds)
            replies = played.outcome.replies if isinstance(loop, Loop) else ()
            nodes = {reply.node: reply.seconds["train"] for reply in replies}
            for host, served in loop.grid.served.items():
                marks.trained[host] = sum(nodes.get(node, 0.0) for node in served) or marks.hosts.get(host, 0.0)

    def write(self, events: Sequence[Event]) -> None:
        """Note how long evaluations took."""
        self.evaluations |= {e.round: e.values["evaluate_s"] for e in events if isinstance(e, Evaluated)}

    def profile(self, serial: bool) -> list[RoundProfile]:
        """Return the rounds but the first."""
        numbers = sorted(self.marks)
        ends = [self.marks[number].times["choose"] for number in numbers[1:]] + [self.end]
        found = [
            _phases(number, self.marks[number], end, self.evaluations.get(number, 0.0) if serial else 0.0, serial)
            for number, end in zip(numbers, ends, strict=True)
        ]
        return found[1:] or found


def _phases(round: int, marks: _Marks, end: float, evaluated: float, serial: bool) -> RoundProfile:
    """Split one round. In one process driver and host are the same actor; else each waits while the other works."""
    at = marks.times
    wall = end - at["choose"]
    slowest = max(marks.hosts.values(), default=0.0)
    shared = {
        "choose": at["send"] - at["choose"],
        "ship": max(0.0, at["step"] - at["send"] - slowest),
        "step": at["record"] - at["step"],
        "record": at["save"] - at["record"] - evaluated,
        "evaluate": evaluated,
        "save": end - at["save"],
    }
    hosts = {
        host: {"train": marks.trained.get(host, seconds), "reduce": seconds - marks.trained.get(host, seconds)}
        for host, seconds in marks.hosts.items()
    }
    if serial:
        own = hosts.get("serial", {})
        return RoundProfile(round, wall, {"this process": {**shared, **own}})
    actors: dict[str, dict[str, float]] = {"driver": {**shared, "idle": wall - sum(shared.values())}}
    for host, own in hosts.items():
        actors[host] = {**own, "ship": shared["ship"], "idle": wall - sum(own.values()) - shared["ship"]}
    return RoundProfile(round, wall, actors)


def profile(scenario: Scenario, folder: Path) -> Profile:
    """Run a scenario in `folder` and say where its rounds went. Nothing is written to the scenario's own store."""
    scenario = replace(scenario, metrics=MetricsConfig())
    experiment = build(scenario)
    run = create(folder, "profile", overwrite=False)
    profiler = Profiler()
    try:
        session = Session(experiment, run, new_run_id(), listener(), sinks=[profiler], at=profiler.at)
        profiler.session = session
        session.run()
        assert session.loop is not None
        profiler.end = max(profiler.marks[max(profiler.marks)].times.values())
        rounds = profiler.profile(session.place.get("kind") == "serial")
        return Profile(scenario.name, str(session.place.get("training", "")), rounds)
    finally:
        run.release()
