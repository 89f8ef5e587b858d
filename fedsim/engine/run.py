"""One run, from a validated scenario to a folder of results."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients import numerics
from fedsim.core import FedsimError, NonFiniteError
from fedsim.engine.experiment import Experiment, build
from fedsim.engine.folder import ROUNDS, SCENARIO, SUMMARY, RunFolder, create, params_sha256
from fedsim.engine.grids import open_grid
from fedsim.engine.loop import Loop, Progress
from fedsim.engine.measure import Ledger
from fedsim.engine.reported import reported
from fedsim.engine.stopping import Signals, Stopped
from fedsim.engine.versions import versions
from fedsim.metrics import RunEnded, RunStarted, columns, new_run_id
from fedsim.metrics.recorder import Recorder
from fedsim.metrics.rounds_csv import RoundsCsv
from fedsim.metrics.sinks.base import Sink
from fedsim.metrics.sinks.database import SPOOL, Database
from fedsim.metrics.summary import peak_rss_bytes, write_summary
from fedsim.participation import ScheduleHash
from fedsim.scenario import Scenario, dump, scenario_hash, slug

if TYPE_CHECKING:
    import pandas as pd

    from fedsim.core import ClientData
    from fedsim.engine.ray_session import RaySession


@dataclass(frozen=True)
class Run:
    """A finished run: where it is, how it ended, and its numbers.

    `summary` is the content of summary.json; `rounds` a tidy pandas frame (run, strategy, seed, round, metric, value).
    """

    id: str
    folder: Path
    store: str
    summary: Mapping[str, Any] = field(repr=False)

    @property
    def status(self) -> str:
        """Return completed, stopped, diverged, interrupted or failed."""
        return str(self.summary["status"])

    @property
    def final(self) -> Mapping[str, float]:
        """The metrics of the last evaluation."""
        final: Mapping[str, float] = self.summary["final"]
        return final

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """The run's metrics, one row per round and metric."""
        from fedsim.metrics.frames import load

        return load(self.store, runs=[self.id])


def execute(
    scenario: Scenario,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    sinks: Sequence[Sink] = (),
    signals: Signals | None = None,
    data: ClientData | None = None,
    ray: RaySession | None = None,
) -> Run:
    """Run a scenario from round 1 to its end.

    `data` and `ray` are for many runs in a row: what the scenario's data section gives, and an open Ray session.

    Raises
    ------
    FedsimError : with the exit code of its kind, after the folder has been left in order.
    Stopped : after a signal, likewise.
    """
    began = time.perf_counter()
    experiment = build(scenario, data)
    default = f"{slug(scenario.name)}-{scenario_hash(scenario)[:8]}"
    folder = create(out, default, overwrite=overwrite)
    try:
        return _Session(experiment, folder, sinks, signals or Signals(), began, ray).run()
    finally:
        folder.release()


class _Session:
    """A run in the making: opens what it needs, trains, and leaves the folder in order whatever happens."""

    def __init__(
        self,
        experiment: Experiment,
        folder: RunFolder,
        sinks: Sequence[Sink],
        signals: Signals,
        began: float,
        ray: RaySession | None = None,
    ) -> None:
        self.experiment = experiment
        self.scenario = experiment.scenario
        self.folder = folder
        self.sinks = sinks
        self.signals = signals
        self.began = began
        self.ray = ray
        self.id = new_run_id()
        self.store = self.scenario.metrics.store or str(folder.path.absolute().parent / "fedsim.db")
        self.loop: Loop | None = None
        self.startup_s = 0.0
        self.peak = 0
        self.place: dict[str, Any] = {}

    def run(self) -> Run:
        (self.folder.path / SCENARIO).write_text(self._scenario_text())
        recorder = Recorder([Database(self.store, self.folder.path / SPOOL), *self.sinks, *self._chosen()])
        status = "failed"
        error: BaseException | None = None
        recorder.emit(self._started())
        try:
            with self.signals.caught():
                status = self._train(recorder)
        except Stopped as stop:
            status, error = "interrupted", stop
        except FedsimError as failure:
            status = "diverged" if isinstance(failure, NonFiniteError) else "failed"
            error = failure
        finally:
            summary = self._summary(status)
            self._leave(recorder, summary, status)
        if error is not None:
            raise error
        return Run(self.id, self.folder.path, self.store, summary)

    def _train(self, recorder: Recorder) -> str:
        with ExitStack() as stack:
            grid = stack.enter_context(open_grid(self.experiment, self.folder.path, self.ray))
            overlap = None
            if self.scenario.engine.kind == "ray":
                overlap = stack.enter_context(ThreadPoolExecutor(1, "fedsim-evaluate"))
            environment = self.experiment.environment()
            strategy = self.experiment.strategy(environment)
            server = strategy.begin(self.experiment.trainer.initial())
            ledger = Ledger.start(self.experiment.population.num_clients)
            prober = self.experiment.prober()
            csv = RoundsCsv(self.folder.path / ROUNDS, columns(reported(self.experiment)))
            stack.callback(csv.close)
            self.place = grid.describe()
            self.startup_s = time.perf_counter() - self.began
            self.loop = Loop(
                experiment=self.experiment,
                environment=environment,
                strategy=strategy,
                grid=grid,
                run=self.id,
                progress=Progress(0, server, ledger, prober.start() if prober else {}),
                prober=prober,
                schedule=ScheduleHash(self.experiment.population.num_clients),
                emit=recorder.emit,
                csv=csv,
                signals=self.signals,
                overlap=overlap,
            )
            try:
                self.loop.train(self.scenario.rounds)
            finally:
                self.peak = peak_rss_bytes()  # while the hosts still live
            return self.loop.status

    def _chosen(self) -> list[Sink]:
        """Return the sinks that the scenario names."""
        return [sink.open(self.folder.path) for sink in self.scenario.metrics.sinks]

    def _scenario_text(self) -> str:
        lines = [f"# scenario_hash: {scenario_hash(self.scenario)}"]
        lines += [f"# {name}: {version}" for name, version in versions().items()]
        return "\n".join(lines) + "\n" + dump(self.scenario)

    def _started(self) -> RunStarted:
        return RunStarted(
            run=self.id,
            name=self.scenario.name,
            strategy=self.experiment.rule.name,  # type: ignore[attr-defined]  # each concrete rule has one
            seed=self.scenario.seed,
            num_clients=self.experiment.population.num_clients,
            rounds=self.scenario.rounds,
            scenario=dump(self.scenario),
            scenario_hash=scenario_hash(self.scenario),
            versions=versions(),
            folder=str(self.folder.path),
            store=self.store,
        )

    def _summary(self, status: str) -> dict[str, Any]:
        loop = self.loop
        summary: dict[str, Any] = {
            "status": status,
            "run": self.id,
            "name": self.scenario.name,
            "strategy": self.scenario.strategy.name,
            "seed": self.scenario.seed,
            "clients": self.experiment.population.num_clients,
            "rounds": loop.progress.round if loop else 0,
            "scenario_hash": scenario_hash(self.scenario),
            "schedule_hash": loop.schedule.hexdigest() if loop else None,
            "params_sha256": params_sha256(loop.progress.server.params) if loop else None,
            "final": loop.final if loop else {},
            "probe": loop.probed if loop else {},
            "timing": timing(loop.seconds if loop else {}, self.startup_s),
            "peak_rss_bytes": max(self.peak, peak_rss_bytes()),
            "engine": self.place,
            "machine": numerics.pin(),
            "versions": versions(),
            "store": self.store,
        }
        return summary

    def _leave(self, recorder: Recorder, summary: Mapping[str, Any], status: str) -> None:
        """Leave parameters and summary behind, each under its final name only when whole."""
        try:
            if self.loop is not None:
                layout = self.experiment.trainer.layout
                self.folder.write_params(layout.views(self.loop.progress.server.params))
            write_summary(self.folder.path / SUMMARY, summary)
        finally:
            recorder.emit(RunEnded(run=self.id, status=status, summary=summary))
            recorder.close()


def timing(seconds: Mapping[str, Sequence[float]], startup_s: float) -> dict[str, float]:
    """Return the medians over rounds, the first excluded, of every phase, and client updates a second."""

    def median(name: str) -> float:
        values = seconds.get(name, [])
        return statistics.median(values[1:] or values or [0.0])

    phases = ("train_s", "ship_s", "reduce_s", "record_s", "choose_s", "send_s", "collect_s", "step_s", "evaluate_s")
    return {
        "startup_s": startup_s,
        "round_s_median": median("round_s"),
        "client_updates_per_s": median("updates_per_s"),
        **{name: median(name) for name in phases},
    }
