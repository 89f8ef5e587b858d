"""A few worker processes that each run one stream of scenarios after another; one that dies spoils no other's run.

Workers are fresh processes (spawned, never forked), so that each has its own Ray session and nothing of its parent's.
Ctrl-C in a terminal reaches every process there; workers leave it to their parent, which ends them by SIGTERM: a run
under way is then saved as after any interrupt. A worker whose parent is gone ends after its run.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from fedsim.analysis.outcome import RunResult
from fedsim.core.config.inputs import Input
from fedsim.core.system.signals import Signals, Stopped
from fedsim.engine.round.waiting import Play
from fedsim.metrics.summary import read_summary
from fedsim.scenario import Scenario, from_dict, to_mapping
from fedsim.scenario.foreign import objects
from fedsim.study.batch import Batch, max_hosts
from fedsim.study.lanes import grouping, run_together

GRACE_S = 30.0
"""How long a worker may take to save its run after SIGTERM, before it is killed."""

CRASHED = 1
"""Exit code of a run whose worker died, or met a mistake of ours."""


@dataclass(frozen=True)
class RunJob:
    """A scenario to run into a folder, and what its input files held when that was planned."""

    scenario: Scenario
    folder: Path
    inputs: tuple[Input, ...] = ()
    anew: bool = False


Numbered = dict[int, RunJob]
"""Jobs by their places: those of one stream."""
Done = Callable[[int, RunResult], None]


def run_jobs(groups: Sequence[Numbered], parallel: int, signals: Signals, done: Done) -> None:
    """Run groups of jobs, `parallel` at a time, in order; call `done` with place and outcome of each job as it ends.

    The jobs of a group advance together in one process. When that dies, what it had not finished is run again, each
    job by itself, so that only the one that is to blame fails.

    Raises Stopped after a signal, when all workers have ended.
    """
    hosts = max_hosts([job.scenario for group in groups for job in group.values()])
    workers = [_Worker(signals, hosts) for _ in range(min(parallel, len(groups)))]
    waiting = deque(groups)
    try:
        with signals.caught():
            for worker in workers:
                worker.take(waiting.popleft())
            while any(worker.busy for worker in workers):
                for worker in _ready(workers):
                    with signals.shielded():  # what has ended is told
                        ended, lost = worker.results()
                        for place, result in ended:
                            done(place, result)
                        waiting.extend({place: job} for place, job in lost.items())
                for worker in workers:
                    if not worker.busy and waiting:
                        worker.take(waiting.popleft())
    finally:
        for worker in workers:
            worker.ask_to_end()
        for worker in workers:
            worker.end()


def run_all(
    jobs: Numbered,
    parallel: int | None,
    *,
    lanes: bool,
    signals: Signals,
    done: Done,
    here: bool = False,
    say: Callable[[str], None] | None = None,
) -> None:
    """Run jobs in streams on some processes, None: as many as there are cores; see `lanes.grouping`.

    `here` says that a single process may be this one; runs that hold objects without a source can be in no other.
    """
    if not jobs:
        return
    places = list(jobs)
    bound = any(objects(job.scenario) for job in jobs.values())
    found = grouping([job.scenario for job in jobs.values()], 1 if bound else parallel, lanes=lanes)
    groups = [{places[number]: jobs[places[number]] for number in group} for group in found.groups]
    if say is not None and len(jobs) > 1:
        say(str(found))
    if not bound and not (here and found.parallel == 1):
        run_jobs(groups, found.parallel, signals, done)
        return
    hosts = max_hosts([job.scenario for job in jobs.values()])
    with signals.caught(), Batch(signals, hosts) as batch:
        for group in groups:
            run_together({place: _play(batch, job) for place, job in group.items()}, done)


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    """Wait until a busy worker has answered or died."""
    busy = [worker for worker in workers if worker.busy]
    answers = wait([worker.connection for worker in busy])
    return [worker for worker in busy if worker.connection in answers]


class _Worker:
    """One process and the jobs it has; a new process when the last one died."""

    def __init__(self, signals: Signals, hosts: int) -> None:
        self._signals = signals
        self._hosts = hosts
        self._process: BaseProcess | None = None
        self._jobs: Numbered = {}
        self._many = False
        self.connection: Any = None

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    def take(self, jobs: Numbered) -> None:
        """Send jobs to the process, which is started when there is none."""
        self._jobs, self._many = dict(jobs), len(jobs) > 1
        if self._process is None or not self._process.is_alive():
            with self._signals.shielded():  # no process that nobody knows of
                self._start()
        sent = {
            place: (to_mapping(job.scenario), job.scenario.folder, job.folder, job.inputs, job.anew)
            for place, job in jobs.items()
        }
        self.connection.send(sent)

    def _start(self) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._hosts), name="fedsim-worker", daemon=True)
        with _blocked(signal.SIGINT, signal.SIGHUP), _without_script():  # the child inherits the mask
            self._process.start()
        theirs.close()

    def results(self) -> tuple[list[tuple[int, RunResult]], Numbered]:
        """Return what has ended, and the jobs of a group whose process died, to be run one by one.

        A process that died over a single job is named by its exit code.
        """
        ended: list[tuple[int, RunResult]] = []
        try:
            while self._jobs and (not ended or self.connection.poll()):
                place, status, exit_code, error = self.connection.recv()
                folder = self._jobs.pop(place).folder
                ended.append((place, RunResult(folder, status, _summary(folder), exit_code, error)))
        except (EOFError, ConnectionResetError):
            epitaph, left, self._jobs = self._epitaph(), self._jobs, {}
            if self._many:
                return ended, left
            for place, job in left.items():
                ended.append((place, RunResult(job.folder, "failed", _summary(job.folder), CRASHED, epitaph)))
        return ended, {}

    def _epitaph(self) -> str:
        assert self._process is not None, "a job has a process"
        self._process.join(GRACE_S)
        code = self._process.exitcode
        self._process, self.connection = None, None
        if code is not None and code < 0:
            return f"its process was killed by {signal.Signals(-code).name}" + (
                ", perhaps for want of memory" if -code == signal.SIGKILL else ""
            )
        return f"its process ended with exit code {code}"

    def ask_to_end(self) -> None:
        """Let an idle process end, and ask a busy one to save its run and end."""
        if self._process is None:
            return
        if self.busy:
            self._process.terminate()
        self.connection.close()

    def end(self) -> None:
        """Wait for the process to end; kill it when it does not."""
        if self._process is None:
            return
        self._process.join(GRACE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process = None


@contextmanager
def _without_script() -> Iterator[None]:
    """Keep a child from running the script that called us once more: nothing of what a worker is told is from there."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _blocked(*numbers: signal.Signals) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _summary(folder: Path) -> dict[str, Any]:
    try:
        return read_summary(folder)
    except ValueError:
        return {}


def _work(connection: Connection, hosts: int) -> None:
    """Run what comes through the connection until its other end is closed."""
    signals = Signals()

    def done(place: int, found: RunResult) -> None:
        connection.send((place, found.status, found.exit_code, found.error))

    try:
        with signals.caught(), Batch(signals, hosts) as batch:
            while True:
                jobs = {
                    place: RunJob(from_dict(mapping, folder=origin), folder, inputs, anew)
                    for place, (mapping, origin, folder, inputs, anew) in connection.recv().items()
                }
                run_together({place: _play(batch, job) for place, job in jobs.items()}, done)
    except (EOFError, BrokenPipeError, Stopped):
        pass  # the parent wants no more


def _play(batch: Batch, job: RunJob) -> Play[RunResult]:
    """Run a job; a mistake of ours is told like any other failure, and its traceback goes to stderr."""
    try:
        return (yield from batch.play(job.scenario, job.folder, anew=job.anew, inputs=job.inputs))
    except Exception as error:
        traceback.print_exc()
        return RunResult(job.folder, "failed", _summary(job.folder), CRASHED, f"{type(error).__name__}: {error}")
