"""A few worker processes that each run one scenario after another; one that dies takes a single run with it.

Workers are fresh processes (spawned, never forked), so that each has its own Ray session and nothing of its parent's.
Ctrl-C in a terminal reaches every process there; workers leave it to their parent, which ends them by SIGTERM: a run
under way is then saved as after any interrupt. A worker whose parent is gone ends after its run.
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from fedsim.analysis.outcome import RunResult
from fedsim.core.config.inputs import Input
from fedsim.core.system.signals import Signals, Stopped
from fedsim.metrics.summary import read_summary
from fedsim.scenario import Scenario, from_dict, to_mapping
from fedsim.study.batch import Batch, max_hosts

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


def run_jobs(jobs: Sequence[RunJob], parallel: int, signals: Signals, done: Callable[[int, RunResult], None]) -> None:
    """Run jobs, `parallel` at a time, in order; call `done` with the place and the outcome of each as it ends.

    Raises Stopped after a signal, when all workers have ended.
    """
    hosts = max_hosts([job.scenario for job in jobs])
    workers = [_Worker(signals, hosts) for _ in range(min(parallel, len(jobs)))]
    waiting = iter(enumerate(jobs))
    try:
        with signals.caught():
            for worker in workers:
                worker.take(next(waiting))
            while any(worker.busy for worker in workers):
                for worker in _ready(workers):
                    with signals.shielded():  # what has ended is told
                        done(*worker.result())
                    worker.take(next(waiting, None))
    finally:
        for worker in workers:
            worker.ask_to_end()
        for worker in workers:
            worker.end()


def run_jobs_here(jobs: Sequence[RunJob], _: int, signals: Signals, done: Callable[[int, RunResult], None]) -> None:
    """Run jobs one after the other in this process, as `run_jobs` does in others."""
    with signals.caught(), Batch(signals, max_hosts([job.scenario for job in jobs])) as batch:
        for place, job in enumerate(jobs):
            done(place, batch.run(job.scenario, job.folder, anew=job.anew, inputs=job.inputs))


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    """Wait until a busy worker has answered or died."""
    busy = [worker for worker in workers if worker.busy]
    answers = wait([worker.connection for worker in busy])
    return [worker for worker in busy if worker.connection in answers]


class _Worker:
    """One process and the job it has; a new process when the last one died."""

    def __init__(self, signals: Signals, hosts: int) -> None:
        self._signals = signals
        self._hosts = hosts
        self._process: BaseProcess | None = None
        self._job: tuple[int, RunJob] | None = None
        self.connection: Any = None

    @property
    def busy(self) -> bool:
        return self._job is not None

    def take(self, job: tuple[int, RunJob] | None) -> None:
        """Send a job to the process, which is started when there is none; None leaves the worker idle."""
        self._job = job
        if job is None:
            return
        if self._process is None or not self._process.is_alive():
            with self._signals.shielded():  # no process that nobody knows of
                self._start()
        _, wanted = job
        scenario = wanted.scenario
        self.connection.send((to_mapping(scenario), scenario.folder, wanted.folder, wanted.inputs, wanted.anew))

    def _start(self) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._hosts), name="fedsim-worker", daemon=True)
        with _blocked(signal.SIGINT, signal.SIGHUP):  # the child inherits the mask
            self._process.start()
        theirs.close()

    def result(self) -> tuple[int, RunResult]:
        """Return the outcome of the job; a process that died without one is named by its exit code."""
        assert self._job is not None, "only a busy worker has a result"
        place, job = self._job
        self._job = None
        try:
            status, exit_code, error = self.connection.recv()
        except (EOFError, ConnectionResetError):
            status, exit_code, error = "failed", CRASHED, self._epitaph()
        return place, RunResult(job.folder, status, _summary(job.folder), exit_code, error)

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
    try:
        with signals.caught(), Batch(signals, hosts) as batch:
            while True:
                connection.send(_attempt(batch, *connection.recv()))
    except (EOFError, BrokenPipeError, Stopped):
        pass  # the parent wants no more


def _attempt(
    batch: Batch, mapping: Any, origin: str, folder: Path, inputs: Sequence[Input], anew: bool
) -> tuple[str, int, str]:
    try:
        found = batch.run(from_dict(mapping, folder=origin), folder, anew=anew, inputs=inputs)
        return found.status, found.exit_code, found.error
    except Exception as error:  # a mistake of ours, told like any other failure; the traceback goes to stderr
        traceback.print_exc()
        return "failed", CRASHED, f"{type(error).__name__}: {error}"
