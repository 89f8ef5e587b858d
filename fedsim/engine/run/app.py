"""A run of somebody else's Flower app that is written down: a folder, rows, and the store that the page shows."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from fedsim.core import ScenarioError
from fedsim.core.contracts import Process
from fedsim.core.contracts import World as Surroundings
from fedsim.core.flower_project import read_project
from fedsim.core.system.files import atomic_write
from fedsim.core.system.versions import versions
from fedsim.engine.flower.app_run import run_app
from fedsim.engine.flower.app_world import Heard, World
from fedsim.engine.nodes.app_folder import App
from fedsim.engine.run.described import timing
from fedsim.engine.run.folder import ROUNDS, SCENARIO, SUMMARY, RunFolder, create
from fedsim.metrics import Evaluated, Notice, RoundDone, RunEnded, RunStarted, new_run_id
from fedsim.metrics.recorder import Recorder
from fedsim.metrics.registry import columns
from fedsim.metrics.rounds_csv import RoundsCsv
from fedsim.metrics.summary import peak_rss_bytes, write_summary
from fedsim.participation import ScheduleHash
from fedsim.scenario import Scenario, from_dict, slug
from fedsim.store.sink import SPOOL, Database

NUMBERS = {"accuracy": "test_accuracy", "acc": "test_accuracy", "loss": "test_loss"}
"""Names under which apps tell how good the global model is, and ours for the same."""
ROUNDS_NAMES = ("num-server-rounds", "num_server_rounds", "num-rounds", "rounds")
FORM = ("cohort_size", "empty_round", "num_invited", "num_crashed", "train_loss", "test_loss", "test_accuracy")


def process_of(participation: str, num_nodes: int, seed: int) -> tuple[Scenario, Process]:
    """Return the process that a text names, such as `{kind: bernoulli, probabilities: 0.5}`.

    Raises
    ------
    ScenarioError : it is none, in the words of a scenario.
    """
    base = {
        "name": "app",
        "rounds": 1,
        "seed": seed,
        "data": {"dataset": "quadratic", "centers": [[0.0]] * num_nodes},
        "model": {"name": "point", "init": [0.0]},
    }
    scenario = from_dict(base, [f"participation={participation}"], folder=".")
    return scenario, scenario.participation.process(Surroundings(seed, num_nodes, folder="."))


@dataclass
class _Written:
    """What is written of an app's run while it goes on."""

    run: str
    csv: RoundsCsv
    recorder: Recorder
    schedule: ScheduleHash
    rounds: int = 0
    final: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)
    seconds: list[float] = field(default_factory=list)

    def over(self, heard: Heard) -> None:
        """Write a round down. Rounds that the app passed over had nobody."""
        if heard.round == 0:
            self._judged(heard)
        while self.rounds < heard.round - 1:
            self._row(Heard(self.rounds + 1, np.zeros(0, np.int64)))
        if heard.round > self.rounds:
            self._row(heard)

    def _row(self, heard: Heard) -> None:
        self.rounds = heard.round
        self.schedule.update(heard.present)
        clients = np.array(sorted(heard.answered), np.int64)
        values = {
            "cohort_size": float(len(clients)),
            "empty_round": float(not len(clients)),
            "num_invited": float(len(heard.asked)),
            "num_crashed": float(len(heard.failed)),
        }
        client = heard.told.get("client", {})
        loss = next((client[name] for name in ("train_loss", "train-loss", "loss") if name in client), None)
        values |= {} if loss is None else {"train_loss": loss}
        values |= {f"client.{name}": number for name, number in client.items()}
        now = time.perf_counter()
        self.seconds.append(now - self.began)
        self.began = now
        judged = judged_numbers(heard)
        self.csv.add(heard.round, values | {name: judged[name] for name in FORM if name in judged})
        self.recorder.emit(RoundDone(run=self.run, round=heard.round, values=values, vectors={"participants": clients}))
        for node, reason in sorted(heard.failed.items()):
            text = reason.strip().splitlines()[-1] if reason.strip() else "raised"
            self.recorder.emit(Notice(run=self.run, round=heard.round, kind="raised", text=text, client=node))
        self._judged(heard)

    def _judged(self, heard: Heard) -> None:
        judged = judged_numbers(heard)
        if judged:
            self.final = {"round": heard.round, **judged}
            self.recorder.emit(Evaluated(run=self.run, round=heard.round, values=judged))


def judged_numbers(heard: Heard) -> dict[str, float]:
    """Return what was told of how good the model is, under our names where an app's mean the same."""
    told = heard.told
    found = {NUMBERS[name]: number for name, number in told.get("server", {}).items() if name in NUMBERS}
    return found | {f"{kind}.{n}": v for kind in ("evaluate", "server") for n, v in told.get(kind, {}).items()}


def record_app(
    app: App,
    num_nodes: int,
    participation: str,
    *,
    hosts: int = 0,
    address: str = "local",
    seed: int = 0,
    out: str | None = None,
    overwrite: bool = False,
) -> tuple[Path, float]:
    """Run an app in a world where nodes come and go, and write it down; return its folder and the seconds it took.

    Raises
    ------
    ScenarioError : participation that is none, an app that cannot be loaded, a folder that is taken.
    """
    scenario, process = process_of(participation, num_nodes, seed)
    told = {
        "flower_app": str(app.folder),
        "run_config": dict(app.config),
        "nodes": num_nodes,
        "seed": seed,
        "participation": participation,
    }
    try:
        sources = {
            name: sha256(path.read_bytes()).hexdigest() for name, path in read_project(app.folder).sources().items()
        }
    except ValueError as error:
        raise ScenarioError(str(error)) from error
    identity = {**told, "flower_app": sources, "participation": repr(scenario.participation)}
    hash = sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
    folder = create(out, f"{slug(app.folder.name)}-{hash[:8]}", overwrite=overwrite)
    try:
        return folder.path, _recorded(app, num_nodes, process, folder, hash, told, hosts=hosts, address=address)
    finally:
        folder.release()


def _recorded(
    app: App,
    num_nodes: int,
    process: Process,
    folder: RunFolder,
    hash: str,
    told: Mapping[str, Any],
    *,
    hosts: int,
    address: str,
) -> float:
    run, store = new_run_id(), str(folder.path.absolute().parent / "fedsim.db")
    text = "# a Flower app run by fedsim flower-app; this is no scenario\n" + json.dumps(told, indent=1, default=str)
    atomic_write(folder.path / SCENARIO, f"{text}\n".encode())
    given = (app.config.get(name) for name in ROUNDS_NAMES)
    expected = next((count for count in given if isinstance(count, int) and count > 0), 1)
    recorder = Recorder([Database(store, folder.path / SPOOL)])
    about: dict[str, Any] = {"run": run, "name": app.folder.name, "strategy": "flower-app", "seed": int(told["seed"])}
    recorder.emit(
        RunStarted(
            **about,
            num_clients=num_nodes,
            rounds=expected,
            scenario=text,
            scenario_hash=hash,
            versions=versions(),
            folder=str(folder.path),
            store=store,
        )
    )
    status, seconds = "failed", 0.0
    error: BaseException | None = None
    with RoundsCsv(folder.path / ROUNDS, columns(FORM)) as csv:
        written = _Written(run, csv, recorder, ScheduleHash(num_nodes))
        world = World(process, written.over)
        try:
            seconds = run_app(app, num_nodes, hosts=hosts, address=address, seed=int(told["seed"]), world=world)
            status = "completed"
        except KeyboardInterrupt as stop:
            status, error = "interrupted", stop
        except Exception as failure:  # whatever somebody else's ServerApp raises
            error = failure
        world.close()
    flat = b"".join(np.ascontiguousarray(values).tobytes() for values in world.params.values())
    if world.params:
        folder.write_params(world.params)
    summary = {
        **about,
        "status": status,
        "reason": None if error is None else str(error),
        "clients": num_nodes,
        "rounds": written.rounds,
        "scenario_hash": hash,
        "schedule_hash": written.schedule.hexdigest(),
        "params_sha256": sha256(flat).hexdigest() if world.params else None,
        "final": written.final,
        "timing": timing({"round_s": written.seconds}, 0.0),
        "peak_rss_bytes": peak_rss_bytes(),
        "engine": {"kind": "flower-app", "nodes": num_nodes, "hosts": hosts},
        "versions": versions(),
        "store": store,
    }
    recorder.flush()
    recorder.emit(RunEnded(run=run, status=status, summary=write_summary(folder.path / SUMMARY, summary)))
    recorder.close()
    if error is not None:
        raise error
    return seconds
