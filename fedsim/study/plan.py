"""What a run would take, said before it runs: cohorts, memory, and time, from the scenario and from a few rounds."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from statistics import median

from fedsim.core import CapacityError, Rule
from fedsim.core.state import flatten
from fedsim.engine.experiment import Experiment, build
from fedsim.engine.run.capacity import HEADROOM, free_ram, megabytes, memory_need
from fedsim.engine.run.run import execute
from fedsim.metrics import Evaluated, Event, MetricsConfig, RoundDone
from fedsim.metrics.peak_rss import peak_rss_bytes
from fedsim.metrics.sinks.base import Sink
from fedsim.participation.schedules.statistics import summarise
from fedsim.scenario import Evaluate, Ray, Scenario, Sourced, sources
from fedsim.strategies.gossip import Gossip

LOOKED_AT = 1_000
"""Rounds of the schedule that are looked at."""
VALUE_BYTES, NUM_VALUES = 60, 27
"""What one number takes in the store, about, and how many a round has."""


@dataclass(frozen=True)
class Cohorts:
    """Who will come: expected size, realised range over the rounds looked at, and how often nobody comes."""

    expected: float
    smallest: int
    largest: int
    rounds: int
    empty: float
    exact: bool
    """Whether `empty` is the process's own probability; else it is the share of the rounds looked at."""


@dataclass(frozen=True)
class Need:
    """Bytes for one thing, where they are taken (ram, disk or object store), and how they come about."""

    name: str
    count: int
    place: str
    note: str


@dataclass(frozen=True)
class Speed:
    """What a short run of the same scenario took: seconds of a round (median, and extremes), and of what is rare."""

    rounds: int
    startup_s: float
    round_s: float
    fastest_s: float
    slowest_s: float
    evaluate_s: float
    probe_s: float


@dataclass(frozen=True)
class RunEstimate:
    """Everything that is known of a run before it runs. `free` says what each place has left."""

    scenario: Scenario
    num_clients: int
    num_parameters: int
    cohorts: Cohorts
    needs: tuple[Need, ...]
    free: Mapping[str, int]
    speed: Speed | None = None

    @property
    def values(self) -> dict[str, Sourced]:
        """Every value of the resolved scenario, with its source."""
        return sources(self.scenario)

    @property
    def evaluations(self) -> int:
        """How often the model is evaluated: round 0, every so many rounds, and the last."""
        return 1 + ceil(self.scenario.rounds / self.scenario.evaluate.every)

    @property
    def total_s(self) -> float | None:
        """Seconds from start to end, None without a probe."""
        if self.speed is None:
            return None
        probes = self.scenario.rounds // self.scenario.probe.every if self.scenario.probe else 0
        rare = self.evaluations * self.speed.evaluate_s + probes * self.speed.probe_s
        return self.speed.startup_s + self.scenario.rounds * self.speed.round_s + rare

    def needed(self, place: str) -> int:
        """Return the bytes that will be taken in a place."""
        return sum(need.count for need in self.needs if need.place == place)

    def check(self) -> None:
        """Refuse what cannot fit.

        Raises
        ------
        CapacityError : with the numbers of every place that is too small, and what takes most of it.
        """
        lines = []
        for place, free in self.free.items():
            if self.needed(place) > HEADROOM * free:
                most = max((need for need in self.needs if need.place == place), key=lambda need: need.count)
                lines.append(
                    f"{place}: {megabytes(self.needed(place))} needed, {megabytes(free)} free; most is for "
                    f"{most.name}: {megabytes(most.count)} ({most.note})"
                )
        if lines:
            help_ = "fewer clients, a smaller model, `memory: {tier: disk}` or `memory: {dtype: bfloat16}` would help"
            raise CapacityError("\n".join(["this run cannot fit here", *lines, help_]))


def plan(scenario: Scenario, *, probe_rounds: int = 5) -> RunEstimate:
    """Return what a run would take. With `probe_rounds` above 0 so many rounds are run, in a folder that is removed.

    Nothing is probed when it cannot fit: `check` says why.

    Raises
    ------
    ScenarioError : what cannot work is refused as a run would refuse it.
    """
    experiment = build(scenario)
    free = {"ram": free_ram(), "disk": shutil.disk_usage(Path.cwd()).free}
    if isinstance(scenario.engine, Ray) and scenario.engine.address == "local":
        free["object store"] = min(shutil.disk_usage("/dev/shm").free, int(0.3 * free["ram"]))
    cohorts = expected_cohorts(experiment)
    made = RunEstimate(
        scenario=scenario,
        num_clients=experiment.population.num_clients,
        num_parameters=experiment.trainer.layout.size,
        cohorts=cohorts,
        needs=tuple(needs(experiment, cohorts)),
        free=free,
    )
    fits = all(made.needed(place) <= HEADROOM * room for place, room in free.items())
    return replace(made, speed=probe(experiment, probe_rounds)) if probe_rounds and fits else made


def expected_cohorts(experiment: Experiment) -> Cohorts:
    """Look at the schedule, before any deadline or crash takes clients out of a round."""
    rounds = min(experiment.scenario.rounds, LOOKED_AT)
    found = summarise(experiment.process, rounds)
    p = found.probabilities
    return Cohorts(
        expected=float(found.sizes.mean() if p is None else p.sum()),
        smallest=int(found.sizes.min()),
        largest=int(found.sizes.max()),
        rounds=rounds,
        empty=float((found.sizes == 0).mean()) if found.empty_probability is None else found.empty_probability,
        exact=found.empty_probability is not None,
    )


def needs(experiment: Experiment, cohorts: Cohorts) -> Iterator[Need]:
    """Yield what will be taken beyond what planning has already loaded (the data, the model, this process)."""
    scenario, population = experiment.scenario, experiment.population
    size, nodes, data = experiment.trainer.layout.size, experiment.num_nodes, experiment.data.nbytes
    rule = scenario.strategy
    if isinstance(rule, Rule):
        state = flatten(rule.start(experiment.trainer.initial()[:size], population))
        yield Need("server state", sum(array.nbytes for array in state.values()), "ram", f"of {scenario.strategy.name}")
    if isinstance(rule, Gossip):
        each = f"{population.num_clients:,} clients x {4 * size:,} bytes"
        yield Need("models of the nodes", 4 * size * population.num_clients, "ram", each)
    else:
        yield Need("sums of a round", 2 * 8 * size * nodes, "ram", f"{nodes} nodes x {size:,} parameters, in float64")
    need = memory_need(experiment, Path.cwd())
    if need is not None:
        note = f"{need.clients:,} clients ever seen x {need.each:,} bytes"
        yield Need("client memories", need.total, need.tier, note)
    if isinstance(scenario.engine, Ray) and scenario.engine.address == "local":
        hosts = scenario.hosts_for(population.num_clients)
        count = hosts if isinstance(hosts, int) else nodes
        base = max(0, peak_rss_bytes() - data)
        yield Need("host processes", count * base, "ram", f"{count} x {megabytes(base)}, as this process")
        yield Need("data, once for all hosts", data, "object store", "shared without a copy")
        yield Need("parameters on their way", 2 * 4 * size, "object store", "this round's and the last one's")
    stored = int(scenario.rounds * (VALUE_BYTES * NUM_VALUES + 8 * cohorts.expected))
    yield Need("measurements", stored, "disk", f"{scenario.rounds:,} rounds in the store and rounds.csv")
    if scenario.checkpoint is not None:
        held = 0 if need is None else need.total
        each_bytes = 4 * size + held
        note = f"{scenario.checkpoint.keep + 1} x {megabytes(each_bytes)}"
        yield Need("checkpoints", each_bytes * (scenario.checkpoint.keep + 1), "disk", note)


def probe(experiment: Experiment, rounds: int) -> Speed:
    """Run a few rounds of the same scenario, measured like any run; the first, which warms up, is left out."""
    scenario = experiment.scenario
    short = replace(
        scenario,
        rounds=min(rounds, scenario.rounds),
        metrics=MetricsConfig(),
        evaluate=Evaluate(every=rounds),
        checkpoint=None,
        stop=None,
        probe=None if scenario.probe is None else replace(scenario.probe, every=max(2, rounds)),
    )
    heard = _Heard()
    with tempfile.TemporaryDirectory(prefix="fedsim-plan-") as folder:
        run = execute(short, out=Path(folder) / "run", sinks=[heard], data=experiment.data)
    seconds = heard.all("round_s")
    steady = seconds[1:] or seconds
    beside = heard.all("record_s")
    return Speed(
        rounds=len(seconds),
        startup_s=float(run.summary["timing"]["startup_s"]),
        round_s=median(steady) + median(beside or [0.0]),
        fastest_s=min(steady),
        slowest_s=max(steady),
        evaluate_s=min(heard.all("evaluate_s"), default=0.0),
        probe_s=max(heard.all("probe_s"), default=0.0),
    )


class _Heard(Sink):
    """Keeps what a short run measured."""

    def __init__(self) -> None:
        self._values: list[Mapping[str, float]] = []

    def write(self, events: Sequence[Event]) -> None:
        self._values += [event.values for event in events if isinstance(event, RoundDone | Evaluated)]

    def all(self, metric: str) -> list[float]:
        """Return every value of a metric, in order."""
        return [values[metric] for values in self._values if metric in values]
