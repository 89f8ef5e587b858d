"""What a run reads belongs to what it is: resume, verify, compare and sweep look at the content of input files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import fedsim
from fedsim.cli import main
from fedsim.core import ScenarioError, World
from fedsim.core.errors import InputsChangedError
from fedsim.core.system.signals import Stopped
from fedsim.engine.experiment import build
from fedsim.engine.run.run import execute, resume
from fedsim.metrics import Notice
from fedsim.metrics.sinks.base import Sink
from fedsim.participation.processes.full import Full
from fedsim.participation.schedules.file import write_schedule
from fedsim.scenario import from_dict, read_inputs, scenario_hash
from fedsim.study.compare import compare
from fedsim.study.sweep import sweep
from fedsim.study.verify import verify

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "name": "own data",
    "seed": 1,
    "rounds": 4,
    "data": {"dataset": "npz", "path": "d.npz", "clients": 4},
    "model": {"name": "linear"},
    "client": {"local_steps": 1, "lr": 0.1},
    "checkpoint": {"every": 2},
}
TRACED = {**SMALL, "participation": {"kind": "trace", "file": "t.csv", "round_s": 1}}


def put(folder: Path, version: int) -> None:
    """Write both input files in one of two versions."""
    x = np.random.default_rng(0).normal(size=(60, 3))
    y = (x[:, 0] > 0).astype(int)
    np.savez(folder / "d.npz", x=x, y=1 - y if version else y)
    rows = "".join(f"{client},{version},6\n" for client in range(4))
    (folder / "t.csv").write_text("client,start_s,end_s\n" + rows)


class Told(Sink):
    """Keeps the notices of a run."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def write(self, events: Any) -> None:
        self.notices += [event for event in events if isinstance(event, Notice)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with input files and a scenario, in which commands run."""
    put(tmp_path, 0)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(SMALL))
    (tmp_path / "traced.yaml").write_text(yaml.safe_dump(TRACED))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def digest(scenario: Any, place: int = 0) -> str:
    return str(scenario.summary["inputs"][place]["sha256"])


def test_a_run_lists_what_it_read(place: Path) -> None:
    run = fedsim.run("traced.yaml", out="run")
    listed = run.summary["inputs"]
    assert [(one["key"], one["path"]) for one in listed] == [
        ("data.path", str(place / "d.npz")),
        ("participation.file", str(place / "t.csv")),
    ]
    assert f"# input data.path: {place}/d.npz: sha256 {digest(run)}" in (run.folder / "scenario.yaml").read_text()


@pytest.mark.parametrize("more", [[], ["--rounds", "8"]])
def test_a_finished_run_is_not_resumed_on_other_data(
    place: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = fedsim.run("s.yaml", out="run")
    before = (run.folder / "summary.json").read_bytes()
    put(place, 1)
    now = read_inputs(from_dict(SMALL))[0].sha256
    assert main(["resume", "run", *more]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"run: data.path: {place}/d.npz: sha256 was {digest(run)[:8]}, is {now[:8]}; ")
    assert (run.folder / "summary.json").read_bytes() == before


def test_an_interrupted_run_is_not_resumed_in_another_trace(place: Path) -> None:
    execute_until_interrupted("traced.yaml")
    put(place, 1)
    with pytest.raises(InputsChangedError, match=r"d\.npz: sha256 was \w{8}, is \w{8}.*\n.*t\.csv: sha256 was"):
        resume("run")


def execute_until_interrupted(file: str) -> None:
    def at(phase: str, round: int) -> None:
        if round == 4:
            raise KeyboardInterrupt

    with pytest.raises(Stopped, match="resume run goes on"):
        execute(fedsim.api.read(file, {}), out="run", at=at)


def test_a_trace_that_no_longer_fits_is_named_as_changed(place: Path) -> None:
    fedsim.run("traced.yaml", out="run")
    (place / "t.csv").write_text("client,start_s,end_s\n99,0,6\n")
    with pytest.raises(InputsChangedError, match=r"t\.csv: sha256 was"):
        resume("run")


def test_files_that_were_only_touched_or_moved_are_the_same(place: Path) -> None:
    execute_until_interrupted("traced.yaml")
    (place / "new").mkdir()
    (place / "d.npz").rename(place / "new" / "data.npz")
    (place / "t.csv").write_bytes((place / "t.csv").read_bytes())
    saved = place / "run" / "scenario.yaml"
    saved.write_text(saved.read_text().replace("path: d.npz", "path: new/data.npz"))
    whole = fedsim.run(from_dict({**TRACED, "data": {**SMALL["data"], "path": "new/data.npz"}}), out="whole")
    assert resume("run").summary["params_sha256"] == whole.summary["params_sha256"]


def test_a_run_of_the_first_version_resumes_with_one_warning(place: Path) -> None:
    execute_until_interrupted("s.yaml")
    by_name, by_content = (scenario_hash(from_dict(SMALL), inputs) for inputs in ((), None))
    note = json.loads((place / "run" / ".run.json").read_text())
    (place / "run" / ".run.json").write_text(json.dumps({"run": note["run"], "scenario": note["scenario"]}))
    for manifest in (place / "run").glob("checkpoints/*/manifest.json"):
        manifest.write_text(manifest.read_text().replace(by_content, by_name))
    told = Told()
    done = resume("run", sinks=[told])
    assert [notice.text for notice in told.notices] == [
        f"data.path: {place}/d.npz: not hashed when the run began, so nobody knows if it changed"
    ]
    assert done.summary["scenario_hash"] == by_name
    assert done.summary["params_sha256"] == fedsim.run("s.yaml", out="whole").summary["params_sha256"]
    assert not verify("run").differences
    again = Told()
    resume("run", rounds=8, sinks=[again])
    assert not again.notices
    put(place, 1)
    with pytest.raises(InputsChangedError, match=r"d\.npz"):
        resume("run")


def test_verify_names_the_file_that_changed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fedsim.run("s.yaml", out="run")
    put(place, 1)
    assert main(["verify", "run"]) == 1
    assert f"data.path: {place}/d.npz: sha256 was " in capsys.readouterr().out


@pytest.mark.parametrize("file", ["s.yaml", "traced.yaml"])
def test_compare_trains_anew_on_other_files_and_says_which(
    place: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = fedsim.compare(file, ["fedavg"], seeds=2, out="many")
    put(place, 1)
    assert main(["compare", file, "--strategies", "fedavg,mifa", "--seeds", "2", "--out", "many"]) == 0
    told = capsys.readouterr()
    assert "finished before" not in told.out
    assert f"trained anew, not taken from before: data.path: {place}/d.npz: sha256 was" in told.err
    after = fedsim.compare(file, ["fedavg", "mifa"], seeds=2, out="many")
    assert all(entry.outcome.recognised for entry in after.entries)
    assert len({digest(entry.outcome) for entry in after.entries}) == 1
    assert {digest(entry.outcome) for entry in before.entries}.isdisjoint(
        digest(entry.outcome) for entry in after.entries
    )
    put(place, 0)
    assert all(entry.outcome.recognised for entry in fedsim.compare(file, ["fedavg"], seeds=2, out="many").entries)


@pytest.mark.slow
def test_sweep_trains_anew_on_other_files_and_says_which(place: Path) -> None:
    swept = {**SMALL, "sweep": {"seed": [1, 2]}}
    assert not sweep(swept, out="many").anew
    put(place, 1)
    again = sweep(swept, out="many")
    assert not any(point.outcome.recognised for point in again.points if point.outcome)
    assert [line.split("sha256")[0] for line in again.anew] == [f"data.path: {place}/d.npz: "]
    assert all(point.outcome.recognised for point in sweep(swept, out="many").points if point.outcome)


def test_a_default_folder_of_many_runs_is_the_same_for_other_data(place: Path) -> None:
    first = fedsim.compare("s.yaml", ["fedavg"], seeds=1)
    put(place, 1)
    second = fedsim.compare("s.yaml", ["fedavg"], seeds=1)
    assert (second.folder, len(second.anew)) == (first.folder, 1)


def test_a_file_that_changes_while_many_runs_are_made_fails_the_later_runs(place: Path) -> None:
    found = compare(fedsim.api.read("s.yaml", {}), seeds=2, out="many", lanes=False, tell=lambda entry: put(place, 1))
    assert [entry.outcome.exit_code for entry in found.entries] == [0, 2]
    assert "d.npz: sha256 was" in found.entries[1].outcome.error
    assert "since this run was planned" in found.entries[1].outcome.error


def test_a_file_that_changes_between_planning_and_reading_is_refused(place: Path) -> None:
    scenario = from_dict(SMALL)
    planned = read_inputs(scenario)
    put(place, 1)
    with pytest.raises(ScenarioError, match=r"data\.path: .*d\.npz: sha256 was .*since this run was planned"):
        build(scenario, None, planned)


def test_a_file_that_changes_while_it_is_read_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = from_dict(SMALL)
    load = type(scenario.data).load

    def slowly(*given: Any) -> Any:
        loaded = load(*given)
        put(place, 1)
        return loaded

    monkeypatch.setattr(type(scenario.data), "load", slowly)
    with pytest.raises(ScenarioError, match=r"data\.path: .*d\.npz: sha256 was .*while it was read"):
        build(scenario)


def test_a_file_that_changes_during_a_run_is_told_and_changes_nothing(place: Path) -> None:
    calm = fedsim.run("traced.yaml", out="calm")
    told = Told()

    def at(phase: str, round: int) -> None:
        if round == 2:
            put(place, 1)

    run = execute(fedsim.api.read("traced.yaml", {}), out="run", at=at, sinks=[told])
    assert run.summary["params_sha256"] == calm.summary["params_sha256"]
    assert run.summary["inputs"] == calm.summary["inputs"]
    assert [notice.text.split(": sha256")[0] for notice in told.notices] == [
        f"data.path: {place}/d.npz",
        f"participation.file: {place}/t.csv",
    ]


def scheduled(place: Path, change: Callable[[], None]) -> fedsim.Run:
    write_schedule(place / "s.npz", Full().process(World(0, 4)), 4)

    def at(phase: str, round: int) -> None:
        if (phase, round) == ("choose", 3):
            change()

    scenario = from_dict({**SMALL, "participation": {"kind": "schedule", "file": "s.npz"}})
    return execute(scenario, out="run", at=at)


def test_a_schedule_that_is_written_to_during_a_run_stops_it(place: Path) -> None:
    def change() -> None:
        with (place / "s.npz").open("r+b") as file:
            file.write(bytes(100))

    with pytest.raises(InputsChangedError, match=r"participation\.file: .*s\.npz: was written to"):
        scheduled(place, change)


def test_a_schedule_whose_name_another_takes_during_a_run_goes_on(place: Path) -> None:
    def change() -> None:
        (place / "other.npz").write_bytes(b"another")
        (place / "other.npz").rename(place / "s.npz")

    assert scheduled(place, change).status == "completed"


def test_another_edge_list_of_the_same_name_is_another_graph_in_one_process(place: Path) -> None:
    gossip = {
        **SMALL,
        "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]]},
        "model": {"name": "point", "init": [4.0]},
        "strategy": {"name": "gossip", "topology": {"kind": "edges", "path": "g.txt"}},
    }
    (place / "g.txt").write_text("0 1\n1 2\n")
    line = fedsim.run(gossip, out="line")
    (place / "g.txt").write_text("0 1\n1 2\n2 0\n")
    ring = fedsim.run(gossip, out="ring")
    assert ring.summary["scenario_hash"] != line.summary["scenario_hash"]
    assert ring.summary["params_sha256"] != line.summary["params_sha256"]
