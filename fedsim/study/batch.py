"""Many runs in a row: one Ray session for all, data loaded once where runs share them, finished runs recognised."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedsim.core import ClusterLostError, FedsimError, NoCheckpointError, NonFiniteError, ScenarioError
from fedsim.core.config.inputs import Input, changes, hold, place_of
from fedsim.core.foreign.reference import given
from fedsim.core.system.files import told_plainly
from fedsim.engine.round.waiting import Play, alone
from fedsim.engine.run.folder import LOCK, NOTE, SCENARIO, Note, RunFolder
from fedsim.metrics.summary import read_summary
from fedsim.scenario import Auto, Ray, Scenario, Serial, by_content, read_inputs, scenario_hash, slug, to_mapping
from fedsim.scenario.foreign import objects

if TYPE_CHECKING:
    from fedsim.core import ClientData
    from fedsim.core.system.signals import Signals
    from fedsim.engine.ray.session import RaySession
    from fedsim.engine.run.run import Run
from fedsim.analysis.outcome import RunResult

GOOD = ("completed", "stopped")
"""How a run can end so that its study need not repeat it."""
RESULTS = ("comparison.json", "sweep.csv", "fedsim.db")
"""What a folder of many runs holds beside their own folders."""


@dataclass(frozen=True)
class Planned:
    """One of many runs before it is run: what it is called, its scenario, and what its files held at that time.

    Where its engine is left open it is one process, as there are as many runs at once as there are cores; with an
    address it is Ray.
    """

    words: str
    scenario: Scenario
    inputs: tuple[Input, ...]

    def __post_init__(self) -> None:
        engine = self.scenario.engine
        if isinstance(engine, Auto):
            there: Serial | Ray = Serial(nodes=engine.nodes)
            if engine.address is not None:
                there = Ray(nodes=engine.nodes, hosts=engine.hosts, address=engine.address)
            object.__setattr__(self, "scenario", replace(self.scenario, engine=there))

    @classmethod
    def of(cls, words: str, scenario: Scenario) -> Planned:
        """Plan a run; its files are read, and whatever they hold later is not what was planned."""
        return cls(words, scenario, read_inputs(scenario))


def plan_key(plan: Sequence[Planned]) -> str:
    """Return a short hash of many scenarios, in which files count by their names: new data, and it is the same plan."""
    keys = " ".join(mapping_key(to_mapping(one.scenario)) for one in plan)
    return sha256(keys.encode()).hexdigest()[:8]


def mapping_key(mapping: Mapping[str, Any], inputs: Sequence[Input] = ()) -> str:
    """Return a short hash of everything in a scenario but its name and where its metrics go.

    >>> mapping_key({"name": "a", "seed": 1}) == mapping_key({"name": "b", "seed": 1})
    True
    """
    left_out = ("name", "metrics", "compare", "sweep", "card", "folder")
    kept = {key: value for key, value in mapping.items() if key not in left_out}
    by_content(kept, inputs)
    return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


def run_folders(parent: Path, plan: Sequence[Planned]) -> list[Path]:
    """Return the folder of each of many runs: its words and its key, so that a changed run goes to another folder."""
    found: list[Path] = []
    for one in plan:
        name = f"{slug(one.words)}-{mapping_key(to_mapping(one.scenario), one.inputs)}"
        number = 2
        path = parent / name
        while path in found:
            path, number = parent / f"{name}-{number}", number + 1
        found.append(path)
    return found


def recognised(folder: Path, planned: Planned) -> RunResult | None:
    """Return the outcome of a run that has been finished in a folder before, None when there is none."""
    try:
        summary = read_summary(folder)
    except ValueError:  # not JSON: not ours
        return None
    status = summary.get("status")
    whole = status == "stopped" or summary.get("rounds") == planned.scenario.rounds
    same = summary.get("scenario_hash") == scenario_hash(planned.scenario, planned.inputs)
    if status in GOOD and whole and same:
        return RunResult(folder, str(status), summary, recognised=True)
    return None


def reasons(parent: Path, plan: Sequence[Planned]) -> list[str]:
    """Return for each run why one that was here before does not count; empty where there was none, or it does.

    The run before is the last one of the same scenario in which files are called the same.
    """
    if not any(one.inputs for one in plan):
        return [""] * len(plan)
    before: dict[str, Note] = {}
    for path in sorted(parent.glob(f"*/{NOTE}"), key=lambda path: path.stat().st_mtime_ns):
        with suppress(
            OSError, ValueError, KeyError, TypeError, AttributeError
        ):  # what is no note of ours tells nothing
            note = Note.read(path.parent)
            before[mapping_key(note.scenario)] = note
    return [_reason(before.get(mapping_key(to_mapping(one.scenario))), one) for one in plan]


def _reason(note: Note | None, planned: Planned) -> str:
    if note is None:
        return ""
    if note.inputs is None:
        return f"{', '.join(map(str, planned.inputs))}: not hashed when it was run before"
    return "; ".join(changes(note.inputs, planned.inputs))


@contextmanager
def batch_folder(out: str | Path | None, default: str) -> Iterator[Path]:
    """Hold the folder of many runs: a new one, or one in which such runs have been before (then they go on).

    Raises
    ------
    ScenarioError : something else is there.
    LockedError : another process is running a batch there.
    """
    path = Path("runs") / default if out is None else place_of(out)
    if path.exists() and not path.is_dir():
        raise ScenarioError(f"--out {path}: is a file, not a folder")
    if path.is_dir():
        if (path / SCENARIO).exists():
            raise ScenarioError(f"--out {path}: is the folder of a single run; choose another")
        others = [item for item in path.iterdir() if item.name != LOCK]
        if others and not any((path / name).exists() for name in RESULTS) and not any(path.glob(f"*/{SCENARIO}")):
            raise ScenarioError(f"--out {path}: the folder is not empty, and what is in it are no runs; choose another")
    with told_plainly(path):
        path.mkdir(parents=True, exist_ok=True)
    held = RunFolder(path)
    try:
        yield path
    finally:
        held.release()


class Batch:
    """Runs scenarios one after the other. Use as a context manager.

    A Ray session is opened when the first run needs it and shared by all; the data of the last run are kept, so that
    runs of one seed that follow each other load them once.
    """

    def __init__(self, signals: Signals, max_hosts: int = 1) -> None:
        self._signals = signals
        self._max_hosts = max_hosts
        self._stack = ExitStack()
        self._session: tuple[str, RaySession] | None = None
        self._data: tuple[Any, ClientData] | None = None

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_session()

    def data(self, scenario: Scenario, inputs: Sequence[Input]) -> ClientData:
        """Return a scenario's data, loaded unless the run before had the same."""
        files = [one for one in inputs if one.key[0] == "data"]
        wanted = (scenario.data, scenario.seed, scenario.folder, files)
        if self._data is None or self._data[0] != wanted:
            self._data = None  # let go of the old ones first
            hold(files, since="since this run was planned")
            loaded = scenario.data.load(scenario.seed, scenario.folder)
            hold(files)
            self._data = (wanted, loaded)
        return self._data[1]

    def run(
        self, scenario: Scenario, folder: Path, *, anew: bool = False, inputs: Sequence[Input] | None = None
    ) -> RunResult:
        """Run a scenario into a folder; with `anew` False, one that was interrupted there goes on where it was.

        Every stop with a reason becomes part of the outcome; only a signal is raised. `inputs` are the run's files as
        they were when it was planned; one that has changed since is a reason not to run.
        """
        return alone(self.play(scenario, folder, anew=anew, inputs=inputs))

    def play(
        self, scenario: Scenario, folder: Path, *, anew: bool = False, inputs: Sequence[Input] | None = None
    ) -> Play[RunResult]:
        """Run a scenario as `run` does, waiting for each round's replies."""
        try:
            run = yield from self._run(scenario, folder, anew, read_inputs(scenario) if inputs is None else inputs)
        except FedsimError as error:
            if isinstance(error, ClusterLostError):
                self._close_session()
            summary = read_summary(folder)
            status = "diverged" if isinstance(error, NonFiniteError) else "failed"
            return RunResult(folder, status, summary, error.exit_code, str(error))
        code = NonFiniteError.exit_code if run.status == "diverged" else 0
        error_text = str(run.summary.get("reason") or "the global model is no longer finite") if code else ""
        return RunResult(folder, run.status, run.summary, code, error_text)

    def _run(self, scenario: Scenario, folder: Path, anew: bool, inputs: Sequence[Input]) -> Play[Run]:
        from fedsim.engine.run.run import Run, begun, continued

        signals, data, ray = self._signals, self.data(scenario, inputs), self._ray(scenario)
        there = (folder / SCENARIO).exists()
        if there and not anew and (folder / NOTE).exists():
            try:
                with ExitStack() as stack:
                    with given(objects(scenario)):
                        found = stack.enter_context(continued(folder, signals=signals, data=data, ray=ray))
                    if isinstance(found, Run):
                        return found
                    return Run.of(found, (yield from found.play()))
            except (NoCheckpointError, ScenarioError):
                pass  # nothing there to go on from: from the start
        if folder.is_dir() and not there and [item.name for item in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()  # killed between its first two writes
        with begun(
            scenario, out=folder, overwrite=there, signals=signals, data=data, inputs=inputs, ray=ray
        ) as session:
            return Run.of(session, (yield from session.play()))

    def _ray(self, scenario: Scenario) -> RaySession | None:
        engine = scenario.engine
        if not isinstance(engine, Ray):
            return None
        if self._session is None or self._session[0] != engine.address:
            from fedsim.engine.ray.session import session

            self._close_session()
            opened = self._stack.enter_context(session(engine.address, self._max_hosts))
            self._session = (engine.address, opened)
        return self._session[1]

    def _close_session(self) -> None:
        self._session = None
        self._stack.close()


def max_hosts(scenarios: Sequence[Scenario]) -> int:
    """Return the most host processes that any of the runs asks for, as far as their files tell."""

    def hosts(scenario: Scenario) -> int:
        clients = scenario.num_clients or scenario.engine.nodes or 1
        asked = scenario.hosts_for(clients)
        return scenario.nodes_for(clients) if asked == "auto" else asked

    return max(map(hosts, scenarios), default=1)
