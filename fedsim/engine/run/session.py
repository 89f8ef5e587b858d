"""A run in the making: opens what it needs, trains, saves, rolls back, and leaves the folder in order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from fedsim.clients import numerics
from fedsim.core import FedsimError, NonFiniteError, ScenarioError
from fedsim.core.config.inputs import changes, place_of, renewed
from fedsim.core.contracts import Parameters
from fedsim.core.system.files import atomic_write
from fedsim.core.system.signals import Signals, Stopped
from fedsim.core.system.versions import versions
from fedsim.engine.checkpoint import local as checkpoint
from fedsim.engine.checkpoint.local import Saved
from fedsim.engine.checkpoint.remote import CheckpointURL, Digests
from fedsim.engine.experiment import Experiment
from fedsim.engine.nodes.grid import HostLostError, NodeGrid
from fedsim.engine.nodes.hosted import HostedGrid
from fedsim.engine.round.callbacks import Callbacks
from fedsim.engine.round.early_stopping import EarlyStopping
from fedsim.engine.round.rounds import Rounds, RunState, nowhere
from fedsim.engine.round.waiting import Play, alone
from fedsim.engine.run.described import machine, scenario_text, started, timing
from fedsim.engine.run.earlier import Earlier, lost, tell_again
from fedsim.engine.run.emptiness import nobody_took_part
from fedsim.engine.run.folder import ROUNDS, SCENARIO, SUMMARY, RunFolder, listed, params_sha256, remember
from fedsim.engine.run.foreign import keep_code, keep_traceback
from fedsim.engine.run.open import open_grid, open_loop
from fedsim.engine.run.seals import FILES, seal
from fedsim.metrics import METRICS, Notice, RunEnded, RunStarted, appearing, columns
from fedsim.metrics.recorder import Recorder
from fedsim.metrics.rounds_csv import RoundsCsv
from fedsim.metrics.sinks.base import Sink
from fedsim.metrics.summary import peak_rss_bytes, write_summary
from fedsim.participation import hash_so_far
from fedsim.scenario import Scenario, scenario_hash
from fedsim.scenario.foreign import blamed, unhashed
from fedsim.store.delivered import lacking, rounds_of
from fedsim.store.sink import SPOOL, Database

if TYPE_CHECKING:
    from flwr.serverapp import Grid

    from fedsim.engine.processes.zygote import Zygote
    from fedsim.engine.ray.session import RaySession

log = logging.getLogger(__name__)

HURRY_S = 4.0
"""How long a host may take to save its nodes after a signal; who sent it may kill us after ten seconds."""
MAX_ROLLBACKS = 5
"""Rollbacks without a single new round in between, after which the run gives up."""


class Session:
    """One run, from its first or a saved round to its end.

    `saved` is the checkpoint to go on from; None starts at round 1. `fresh` says that this run has not begun before.
    `at` is told of every phase of every round, and of the steps of writing a checkpoint: tests stop the process there.
    `until` ends the session after a round, without touching the scenario.
    `hash` is the scenario's, where an earlier version hashed it in another way.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: RunFolder,
        run: str,
        signals: Signals,
        *,
        sinks: Sequence[Sink] = (),
        saved: Saved | None = None,
        fresh: bool = True,
        ray: RaySession | None = None,
        flower: Grid | None = None,
        zygote: Zygote | None = None,
        at: Callable[[str, int], None] = nowhere,
        until: int | None = None,
        hash: str | None = None,
        heard: Callbacks | None = None,
    ) -> None:
        self.began = time.perf_counter()
        self.experiment = experiment
        self.scenario = experiment.scenario
        self.hash = hash or scenario_hash(self.scenario, experiment.inputs)
        self.folder = folder
        self.run_id = run
        self.signals = signals
        self.saved = saved
        self.fresh = fresh
        self.ray = ray
        self.flower = flower
        self.zygote = zygote
        self.at = at
        self.until = until
        self.heard = heard or Callbacks()
        self.store = self.scenario.metrics.store or str(folder.path.absolute().parent / "fedsim.db")
        self.recorder = Recorder(
            [Database(self.store, folder.path / SPOOL), *sinks, *self.scenario.metrics.open(folder.path)]
        )
        self.loop: Rounds | None = None
        self.results: tuple[dict[str, npt.NDArray[Any]], Parameters] | None = None
        self.startup_s, self.peak = 0.0, 0
        self.empty: str | None = None
        self.rollbacks = self.notices = 0
        self.place: dict[str, Any] = {}
        self.earlier: Earlier | None = None
        self.csv: RoundsCsv | None = None
        self.started: RunStarted | None = None

    @property
    def checkpoints(self) -> Path | CheckpointURL:
        """Where this run's checkpoints are."""
        return checkpoints_of(self.scenario, self.folder.path, self.run_id)

    def run(self) -> dict[str, Any]:
        """Train to the end and return the summary; raise what stopped the run once the folder is in order."""
        return alone(self.play())

    def play(self) -> Play[dict[str, Any]]:
        """Train to the end as `run` does, waiting for each round's replies."""
        self.earlier = Earlier.of(self.folder.path)
        atomic_write(self.folder.path / SCENARIO, scenario_text(self.experiment, self.hash).encode())
        remember(self.folder.path, self.run_id, self.scenario, self.hash, self.experiment.inputs)
        keep_code(self.folder, self.scenario)
        status = "failed"
        error: BaseException | None = None
        self.started = started(self.experiment, self.run_id, self.hash, self.folder.path, self.store)
        self.recorder.emit(self.started)
        for one in unhashed(self.scenario):
            self._notice(f"{one}: is unhashed: it has no source, so nobody can tell if it changes", kind="unhashed")
        try:
            with self.signals.caught():
                status = yield from self._train()
        except Stopped as stop:
            status, error = "interrupted", stop
            stop.args = (f"{stop.word} {self._where()}",)
        except FedsimError as failure:
            status, error = "diverged" if isinstance(failure, NonFiniteError) else "failed", failure
        except Exception as failure:
            error = blamed(self.scenario, failure)
        finally:
            with self.signals.shielded():
                self._watch_inputs()
                summary = self._summary(status, str(error) if error else None)
                summary = self._leave(summary, status)
        if error is not None:
            keep_traceback(self.folder, error)
            raise error
        return summary

    def _train(self) -> Play[str]:
        with ExitStack() as stack:
            grid = stack.enter_context(
                open_grid(self.experiment, self.folder.path, self.ray, self._notice, self.flower, self.zygote)
            )
            reported = appearing(*self.experiment.facts())
            self.csv = csv = RoundsCsv(self.folder.path / ROUNDS, columns(reported))
            stack.callback(csv.close)
            overlap = None
            if isinstance(grid, HostedGrid):  # the driver has nothing to do while hosts train
                overlap = stack.enter_context(ThreadPoolExecutor(1, "fedsim-evaluate"))
            environment = self.experiment.environment()
            self.loop = loop = open_loop(
                self.experiment,
                environment,
                overlap,
                grid=grid,
                run=self.run_id,
                schedule=hash_so_far(self.experiment.process, 0),
                emit=self.recorder.emit,
                csv=csv,
                signals=self.signals,
                checkpoint=lambda: self._save(grid),
                at=self.at,
                ready=self._ready,
                heard=self.heard,
                metrics=[METRICS[name] for name in reported if METRICS[name].of is not None],
            )
            self._go_back(loop, self.saved, told=not self.fresh)
            self.place = grid.place()
            log.info("training: %s", self.place.get("training"))
            self.startup_s = time.perf_counter() - self.began
            try:
                yield from self._train_on(loop)
                if loop.status == "completed" and self._worth_saving(loop.progress.round):
                    self._save(grid)
            except KeyboardInterrupt:
                if loop.progress.round > 0:
                    with self.signals.shielded(), suppress(FedsimError):  # who stops us may have stopped the hosts too
                        grid.hurry(HURRY_S)
                        loop.settle(wait=True)
                        self._save(grid)
                raise
            finally:
                self.peak = peak_rss_bytes()  # while the hosts still live
                with suppress(FedsimError):  # models of hosts that are lost cannot be had
                    self.results = loop.results()
            if loop.empty and loop.progress.round:
                rows, count = self.folder.path / ROUNDS, self.experiment.population.num_clients
                self.empty = nobody_took_part(rows, self.scenario, count)
                if self.empty is not None:
                    self._notice(self.empty, kind="empty", round=loop.progress.round)
            if loop.reason is not None:
                self._notice(loop.reason, kind=loop.status, round=loop.progress.round)
            return loop.status

    def _worth_saving(self, last: int) -> bool:
        """Return whether a finished run needs one more checkpoint, so that rounds can be added to it."""
        every = self.scenario.checkpoint and self.scenario.checkpoint.every
        return bool(every and last % every and last % self.scenario.evaluate.every == 0)

    def _train_on(self, loop: Rounds) -> Play[None]:
        """Train; when a host is lost with its clients' memories, go back to the last checkpoint and train again."""
        reached, lost = -1, False
        while True:
            try:
                if lost:
                    loop.grid.replace_lost()
                    self._go_back(loop, self.saved, told=True)
                yield from loop.train(self.scenario.rounds, self.until)
                return
            except HostLostError as error:
                lost = True
                self.rollbacks = self.rollbacks + 1 if loop.progress.round <= reached else 1
                reached = max(reached, loop.progress.round)
                if self.rollbacks > MAX_ROLLBACKS:
                    raise
                self.saved = checkpoint.newest(self.checkpoints, self.run_id, self.hash, self.warn)
                back = self.saved.round if self.saved else 0
                self._notice(f"{error}; going back to round {back}", kind="rollback", round=loop.progress.round + 1)

    def _go_back(self, loop: Rounds, saved: Saved | None, *, told: bool) -> None:
        """Put everything where it was after a checkpoint's round, or before round 1."""
        first = RunState(loop.first(), EarlyStopping())
        loop.stand(first if saved is None else saved.state(first))
        round = loop.progress.round
        loop.schedule = hash_so_far(self.experiment.process, round)
        if saved is not None or told:
            path = saved.place if saved else None
            path = path.absolute() if isinstance(path, Path) else path
            loop.grid.each("restore", dict.fromkeys(range(loop.grid.num_nodes), (path, round)))
        if told:
            loop.forget_evaluations()
            self.recorder.discard_after(self.run_id, round)
            loop.csv.cut(round)

    def _save(self, grid: NodeGrid) -> None:
        """Write a checkpoint; what it covers is durable in rows and store before it is committed."""
        assert self.loop is not None
        self.recorder.flush()
        self.loop.csv.sync()
        round = self.loop.progress.round

        def nodes(folder: Path | CheckpointURL) -> Digests:
            place = folder.absolute() if isinstance(folder, Path) else folder
            told = grid.each("save", dict.fromkeys(range(grid.num_nodes), (place, round)))
            return {
                name: digest
                for digests in told.values()
                if isinstance(digests, dict)
                for name, digest in digests.items()
            }

        checkpoint.write(
            self.checkpoints,
            self.loop.standing,
            nodes,
            run=self.run_id,
            round=round,
            scenario_hash=self.hash,
            versions=machine(),
            keep=self.scenario.checkpoint.keep if self.scenario.checkpoint else 1,
            at=lambda step: self.at(step, round),
        )

    def _ready(self, round: int) -> None:
        """Look, before every round, whether the folder is still ours and the rows are still where they belong."""
        assert self.csv is not None
        self.folder.check_held()
        if self.csv.mend():
            self._notice(f"{ROUNDS} was removed or replaced; it was written again", kind="folder", round=round)

    def _notice(self, text: str, kind: str = "notice", host: str | None = None, round: int | None = None) -> None:
        now = round if round is not None else (self.loop.progress.round + 1 if self.loop and self.loop.progress else 0)
        self.notices += 1
        self.recorder.emit(Notice(run=self.run_id, round=now, kind=kind, text=text, host=host, attempt=self.notices))

    def _watch_inputs(self) -> None:
        """Tell of input files that are others now than those that were read: the run has not seen the change."""
        for one in self.experiment.inputs:
            try:
                now = renewed([one])
            except ScenarioError:  # gone: that is no reason to spoil a finished run
                self._notice(f"{one}: cannot be read any more; the run used what it read at its start", kind="input")
                continue
            for line in changes([one], now):
                self._notice(f"{line}; it changed during the run, which used what it read at its start", kind="input")

    def warn(self, text: str) -> None:
        """Tell something about this run's past."""
        self._notice(text, kind="checkpoint")

    def elsewhere(self) -> Iterator[str]:
        """Yield what software and machine are now that they were not when the checkpoint was written."""
        before = self.saved.manifest.versions if self.saved else {}
        now = machine()
        for name in sorted({*before, *now} if before else ()):
            if before.get(name) != now.get(name):
                yield f"{name} was {before.get(name, 'unknown')}, is {now.get(name, 'unknown')}"

    def _where(self) -> str:
        """Say how far the run came and how it goes on, for who stopped it."""
        done = self.loop.progress.round if self.loop else 0
        how = f"after round {done} of {self.scenario.rounds}" if done else "before the first round was done"
        return f"{how}; fedsim resume {self.folder.path} goes on"

    def _summary(self, status: str, why: str | None) -> dict[str, Any]:
        loop = self.loop
        heuristics = self.experiment.told()[1].heuristics if loop else ()
        return {
            "status": status,
            "reason": (loop.reason if loop else None) or why,
            **({"heuristics": [f"strategy.{option}" for option in heuristics]} if heuristics else {}),
            **({} if self.empty is None else {"empty": self.empty}),
            "run": self.run_id,
            "name": self.scenario.name,
            "strategy": self.scenario.strategy.name,
            "seed": self.scenario.seed,
            "clients": self.experiment.population.num_clients,
            "rounds": loop.progress.round if loop and loop.progress else 0,
            "scenario_hash": self.hash,
            "inputs": [listed(one) for one in self.experiment.inputs],
            **({"unhashed": list(bare)} if (bare := unhashed(self.scenario)) else {}),
            "schedule_hash": loop.schedule.hexdigest() if loop else None,
            "params_sha256": params_sha256(self.results[1]) if self.results else None,
            "final": loop.final if loop else {},
            **({"judged": dict(judge.told)} if (judge := self.experiment.judge) else {}),
            "probe": loop.probed if loop else {},
            "timing": timing(loop.seconds if loop else {}, self.startup_s),
            "peak_rss_bytes": max(self.peak, peak_rss_bytes()),
            "engine": self.place,
            "machine": numerics.pin(),
            "versions": versions(),
            "store": self.store,
        }

    def _leave(self, summary: dict[str, Any], status: str) -> dict[str, Any]:
        """Leave parameters and summary; a finished run that got no further, and another's folder, stay as they were."""
        path = self.folder.path
        if status == "failed" and self.earlier is not None and summary["rounds"] <= self.earlier.rounds:
            self.earlier.put_back(path)
            status, summary = self.earlier.status, dict(self.earlier.summary)
        elif self.folder.held():
            summary = self._write(summary)
        self.recorder.emit(RunEnded(run=self.run_id, status=status, summary=summary))
        self.recorder.close()
        if self.started is not None and (path / ROUNDS).is_file() and not (path / SPOOL).exists():
            tell_again(
                self.store, self.started, path / ROUNDS, RunEnded(run=self.run_id, status=status, summary=summary)
            )
        return summary

    def _write(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Write the parameters, tell the store again what it lost, and write the summary."""
        path = self.folder.path
        try:
            if self.results is not None:
                self.folder.write_params(self.results[0])
            self.recorder.flush()
            again = lacking(self.store, self.run_id, rounds_of(self.run_id, path / ROUNDS))
            if again:
                self._notice(lost(self.store, len(again)), kind="store")
                for event in again:
                    self.recorder.emit(event)
            summary = write_summary(path / SUMMARY, {**summary, "told_again": len(again), FILES: seal(path)})
        except BaseException:
            self.recorder.emit(RunEnded(run=self.run_id, status=str(summary["status"]), summary=summary))
            self.recorder.close()
            raise
        return summary


def checkpoints_of(scenario: Scenario, folder: Path, run: str) -> Path | CheckpointURL:
    """Return where the checkpoints of a run are: in its folder, in another one, or at a URL."""
    chosen = scenario.checkpoint and scenario.checkpoint.path
    if not chosen:
        return folder / checkpoint.FOLDER
    if "://" in chosen and not chosen.startswith("file://"):
        return CheckpointURL(chosen).check() / run
    return checkpoint.possible(place_of(chosen.removeprefix("file://")) / run)
