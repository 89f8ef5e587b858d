"""How a run is described: the head of its scenario, its first event, its machine, and how long its phases took."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path

from fedsim.clients import numerics
from fedsim.core.system.versions import versions
from fedsim.engine.experiment import Experiment
from fedsim.metrics import RunStarted
from fedsim.scenario import dump
from fedsim.scenario.messages import printable


def scenario_text(experiment: Experiment, hash: str) -> str:
    """Return the scenario as it lies in the run's folder, under comments that say what it was run with."""
    lines = [f"# scenario_hash: {hash}"]
    lines += [f"# {name}: {version}" for name, version in versions().items()]
    lines += [f"# input {printable(str(one))}: sha256 {one.sha256}" for one in experiment.inputs]
    return "\n".join(lines) + "\n" + dump(experiment.scenario)


def started(experiment: Experiment, run: str, hash: str, folder: Path, store: str) -> RunStarted:
    """Return the event with which a run begins."""
    scenario = experiment.scenario
    return RunStarted(
        run=run,
        name=scenario.name,
        strategy=scenario.strategy.name,
        seed=scenario.seed,
        num_clients=experiment.population.num_clients,
        rounds=scenario.rounds,
        scenario=dump(scenario),
        scenario_hash=hash,
        versions=versions(),
        folder=str(folder),
        store=store,
    )


def machine() -> dict[str, str]:
    """Return all that bits may depend on besides the scenario: software, processor, threads."""
    return {**versions(), **{name: str(value) for name, value in numerics.pin().items()}}


def timing(seconds: Mapping[str, Iterable[float]], startup_s: float) -> dict[str, float]:
    """Return the medians over rounds, the first excluded, of every phase, and client updates a second."""

    def median(name: str) -> float:
        values = list(seconds.get(name, ()))
        return statistics.median(values[1:] or values or [0.0])

    phases = ("train_s", "ship_s", "reduce_s", "record_s", "choose_s", "send_s", "collect_s", "step_s", "evaluate_s")
    return {
        "startup_s": startup_s,
        "round_s_median": median("round_s"),
        "client_updates_per_s": median("updates_per_s"),
        **{name: median(name) for name in phases},
    }
