"""One run, from a validated scenario to a folder of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedsim.core import NoCheckpointError, ScenarioError
from fedsim.core.config.inputs import Input, place_of
from fedsim.core.system.files import remove_temporaries
from fedsim.core.system.signals import Signals, listener
from fedsim.core.system.versions import versions
from fedsim.engine.checkpoint.local import found_in, newest
from fedsim.engine.experiment import build
from fedsim.engine.round.callbacks import Callbacks
from fedsim.engine.round.rounds import nowhere
from fedsim.engine.run.earlier import tell_again
from fedsim.engine.run.folder import LOCK, ROUNDS, PreviousRun, create, read_past, refuse_others, reopen
from fedsim.engine.run.open import started_ahead
from fedsim.engine.run.seals import rows_altered
from fedsim.engine.run.session import Session, checkpoints_of
from fedsim.metrics import RunEnded, RunStarted, new_run_id
from fedsim.metrics.rounds_csv import whole_rounds
from fedsim.metrics.sinks.base import Sink
from fedsim.metrics.summary import read_summary
from fedsim.scenario import Scenario, dump, scenario_hash, slug
from fedsim.scenario.raw import Overrides

if TYPE_CHECKING:
    import pandas as pd
    from flwr.serverapp import Grid
    from matplotlib.figure import Figure

    from fedsim.core import ClientData
    from fedsim.engine.ray.session import RaySession

FINISHED = ("completed", "stopped", "diverged")
"""How a run can end so that nothing is left to resume."""


@dataclass(frozen=True)
class Run:
    """A finished run: where it is, how it ended, and its numbers.

    `summary` is the content of summary.json; `rounds` a tidy pandas frame (run, strategy, seed, round, metric, value).
    """

    id: str
    folder: Path
    store: str
    summary: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, session: Session, summary: Mapping[str, Any]) -> Run:
        """Return the run that a session has finished."""
        return cls(session.run_id, session.folder.path, session.store, summary)

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
        from fedsim.analysis.frames import load

        return load(self.store, runs=[self.id])

    def plot(self) -> Figure:
        """Return a figure of the run's main metrics over the rounds, each with its unit along its axis."""
        from fedsim.analysis.notebook.shown import plot_run

        return plot_run(self.summary, self.rounds)

    def __repr__(self) -> str:
        about = self.summary
        return (
            f"Run({self.id}, {about.get('name')}, {self.status} after {about.get('rounds', 0)} rounds, {self.folder})"
        )

    def _repr_html_(self) -> str:
        from fedsim.analysis.notebook.shown import html_of_run

        return html_of_run(self.id, str(self.folder), self.summary)


def execute(
    scenario: Scenario,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    sinks: Sequence[Sink] = (),
    signals: Signals | None = None,
    data: ClientData | None = None,
    inputs: Sequence[Input] | None = None,
    ray: RaySession | None = None,
    flower: Grid | None = None,
    at: Callable[[str, int], None] = nowhere,
    heard: Callbacks | None = None,
) -> Run:
    """Run a scenario from round 1 to its end.

    `data`, `inputs` and `ray` are for many runs in a row: what the scenario's data section gives, what its files held
    when the runs were planned, and an open Ray session.
    `flower` is the grid of a Flower app that this run is part of.
    `at` is told of every phase of every round before it begins, `heard` of every evaluation.

    Raises
    ------
    FedsimError : with the exit code of its kind, after the folder has been left in order.
    Stopped : after a signal, likewise.
    """
    with (
        started_ahead(scenario) as zygote,
        begun(
            scenario,
            out=out,
            overwrite=overwrite,
            sinks=sinks,
            signals=signals,
            data=data,
            inputs=inputs,
            ray=ray,
            flower=flower,
            at=at,
            zygote=zygote,
            heard=heard,
        ) as session,
    ):
        return Run.of(session, session.run())


@contextmanager
def begun(
    scenario: Scenario,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    data: ClientData | None = None,
    inputs: Sequence[Input] | None = None,
    signals: Signals | None = None,
    **options: Any,
) -> Iterator[Session]:
    """Open a run that begins at round 1, in a folder that is held meanwhile; who drives it is left to the caller."""
    experiment = build(scenario, data, inputs)
    checkpoints_of(scenario, Path(), "")  # a URL that nobody can open is refused before a folder is made
    default = f"{slug(scenario.name)}-{scenario_hash(scenario, experiment.inputs)[:8]}"
    folder = create(out, default, overwrite=overwrite)
    try:
        yield Session(experiment, folder, new_run_id(), signals or listener(), **options)
    finally:
        folder.release()


def resume(
    path: str | Path,
    *,
    rounds: int | None = None,
    strict: bool = False,
    sinks: Sequence[Sink] = (),
    signals: Signals | None = None,
    data: ClientData | None = None,
    ray: RaySession | None = None,
    at: Callable[[str, int], None] = nowhere,
    unchanged: Overrides = (),
) -> Run:
    """Continue the run in a folder after any stop; it ends as if it had never stopped.

    `rounds` may add rounds; any other change of the scenario is refused with what differs. A finished run is returned
    as it is. Software or a machine that may give other bits are told of, or refused when `strict`. `data`, `ray` and
    `at` as for `execute`. `unchanged` are parts of the scenario that are given again, and must be what they were.

    Raises
    ------
    ScenarioError : no run is there, its scenario or a file that it reads was changed, or `strict` and it ran elsewhere.
    NoCheckpointError : it has checkpoints, and none is good.
    """
    with continued(
        path, rounds=rounds, strict=strict, sinks=sinks, signals=signals, data=data, ray=ray, at=at, unchanged=unchanged
    ) as session:
        return session if isinstance(session, Run) else Run.of(session, session.run())


@contextmanager
def continued(
    path: str | Path,
    *,
    rounds: int | None = None,
    strict: bool = False,
    signals: Signals | None = None,
    data: ClientData | None = None,
    unchanged: Overrides = (),
    **options: Any,
) -> Iterator[Session | Run]:
    """Open a run that goes on where it was, or say what it came to when it is finished; see `resume`."""
    killed = (place_of(path) / LOCK).exists()  # its summary may be of an earlier end
    folder = reopen(path)
    try:
        remove_temporaries(folder.path)
        past = read_past(folder.path)
        refuse_others(folder.path, past.scenario, unchanged)
        scenario = past.scenario if rounds is None else past.with_rounds(rounds)
        summary = read_summary(folder.path)
        finished = summary.get("status") in FINISHED and summary.get("rounds", 0) >= scenario.rounds
        if finished or summary.get("status") in ("stopped", "diverged"):
            store = str(summary.get("store") or "")
            if store:
                tell_again(store, *_ends(past, folder.path, store, summary))
            yield Run(past.run, folder.path, store, summary)
            return
        session = Session(
            build(scenario, data, past.inputs),
            folder,
            past.run,
            signals or listener(),
            fresh=False,
            hash=past.hash,
            **options,
        )
        if isinstance(session.checkpoints, Path):
            remove_temporaries(session.checkpoints)
        barred = past.unrepeatable(scenario)
        known = whole_rounds(folder.path / ROUNDS)
        before = known + 1 if barred is None else min(known + 1, barred)
        session.saved = newest(session.checkpoints, past.run, past.hash, session.warn, before)
        if session.saved is None and barred is None and found_in(session.checkpoints):
            raise NoCheckpointError(
                f"{folder.path}: {ROUNDS} holds {known} whole rounds, fewer than any checkpoint goes on from; "
                "put the file back, or `fedsim run --overwrite` starts anew"
            )
        if session.saved is None and barred is None and past.lost(folder.path):
            raise NoCheckpointError(f"{folder.path}: its checkpoints are gone; `fedsim run --overwrite` starts anew")
        if not killed and rows_altered(folder.path, summary):
            session.warn(
                f"{ROUNDS} was altered after the run ended; its rows before this resume stay as they stand there"
            )
        if past.unhashed:
            session.warn(f"{', '.join(past.unhashed)}: not hashed when the run began, so nobody knows if it changed")
        for line in session.elsewhere():
            if strict:
                raise ScenarioError(f"{folder.path}: {line}; the bits may differ, and --strict was said")
            session.warn(f"{line}; the bits may differ")
        yield session
    finally:
        folder.release()


def _ends(past: PreviousRun, folder: Path, store: str, summary: Mapping[str, Any]) -> tuple[RunStarted, Path, RunEnded]:
    """Return the first and the last event of a finished run, as its folder tells them, and where its rows are."""
    scenario = past.scenario
    started = RunStarted(
        run=past.run,
        name=scenario.name,
        strategy=scenario.strategy.name,
        seed=scenario.seed,
        num_clients=int(summary.get("clients", 0)),
        rounds=scenario.rounds,
        scenario=dump(scenario),
        scenario_hash=past.hash,
        versions=summary.get("versions") or versions(),
        folder=str(folder),
        store=store,
    )
    return started, folder / ROUNDS, RunEnded(run=past.run, status=str(summary["status"]), summary=summary)
