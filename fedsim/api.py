"""The Python face: run a scenario, get tidy frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex

from fedsim.scenario import Scenario, from_dict, load, override

if TYPE_CHECKING:
    from rich.console import Console

    from fedsim.analysis.comparison import ComparedRun, Comparison
    from fedsim.core import Rule
    from fedsim.engine.run.run import Run
    from fedsim.metrics.sinks.base import Sink
    from fedsim.study.sweep import Sweep


def read(source: str | os.PathLike[str] | Mapping[str, Any] | Scenario, overrides: Mapping[str, Any]) -> Scenario:
    """Return the scenario of a file, of a mapping, or one that was read before.

    `strategy__beta=0.3` overrides `strategy.beta`; values are Python's own: numbers and arrays of numpy, paths, any
    text, and configs such as a rule.
    """
    options = dotted(overrides)
    if isinstance(source, Scenario):
        return override(source, options) if options else source
    return from_dict(source, options) if isinstance(source, Mapping) else load(source, options)


def dotted(overrides: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return keywords as overrides of dotted keys.

    >>> dotted({"strategy__beta": 0.3, "loss": "mse", "metrics": ["mae"]})
    [('strategy.beta', 0.3), ('task.loss', 'mse'), ('task.metrics', ['mae'])]
    """
    return [(_key(name, value), value) for name, value in overrides.items()]


SHORT = {"loss": "task.loss", "client_work": "client.work"}
"""Keywords that stand for a key inside a section."""


def _key(name: str, value: Any) -> str:
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    return "task.metrics" if name == "metrics" and listed else SHORT.get(name, name).replace("__", ".")


def run(
    source: str | os.PathLike[str] | Mapping[str, Any] | Scenario,
    *,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    callbacks: Callable[..., Any] | Sequence[Callable[..., Any]] = (),
    verbose: bool = False,
    **overrides: Any,
) -> Run:
    """Run a scenario and return what it came to.

    Parameters
    ----------
    source : a scenario file, its content as a mapping, or a scenario that was read before.
    out, overwrite : as `--out` and `--overwrite` of `fedsim run`.
    callbacks : functions f(round, metrics), called after each evaluation with its metrics by name, in order. One that
        returns True ends the run there, with status "stopped", as `stop:` would; nothing else that it returns counts.
        They are no part of the scenario and move no bit. One that raises ends the run with its file and line.
    verbose : whether to print progress, as `fedsim run` does.
    overrides : values by dotted key, as `--set`; in a keyword write two underscores for a dot. `model=`, `data=`,
        `strategy=` and `participation=` replace the whole section, and may be classes, functions and objects;
        `client_work=`, `loss=` and `metrics=[...]` stand for `client.work`, `task.loss` and `task.metrics`.

    Raises
    ------
    ScenarioError : with every problem of the scenario at once.
    FedsimError : another stop with a reason.

    Examples
    --------
    ::

        run = fedsim.run("scenarios/quickstart.yaml", rounds=20, strategy__server_lr=0.5)
        run.rounds.query("metric == 'test_accuracy'").plot(x="round", y="value")
    """
    from fedsim.engine.round.callbacks import Callbacks
    from fedsim.engine.run.run import execute

    scenario, heard = read(source, overrides), Callbacks.of(callbacks)
    place = None if out is None else os.fspath(out)
    return execute(scenario, out=place, overwrite=overwrite, sinks=[_progress()] if verbose else (), heard=heard)


def _console() -> Console:
    from rich.console import Console

    return Console()


def _progress() -> Sink:
    from fedsim.metrics.sinks.console import ConsoleSink

    return ConsoleSink(_console())


def compare(
    source: str | os.PathLike[str] | Mapping[str, Any] | Scenario,
    strategies: str | Mapping[str, Any] | Rule | Iterable[str | Mapping[str, Any] | Rule] | None = None,
    seeds: SupportsIndex | Iterable[SupportsIndex] = 5,
    *,
    baseline: str | None = None,
    target: str | None = None,
    last: int = 1,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    parallel: int | None = None,
    lanes: bool = True,
    verbose: bool = False,
    **overrides: Any,
) -> Comparison:
    """Run several strategies on the same data and absences, and compare them seed by seed.

    Parameters
    ----------
    source : a scenario file, its content as a mapping, or a scenario that was read before.
    strategies : one or several, as on the command line ("fedstale:beta=0.3"), as blocks ({"name": "fedstale",
        "beta": 0.3}) or as rules (FedStale(beta=0.3)), and variants ({"name": "slow", "client": {"lr": 0.01}}); those
        under the scenario's `compare:` when None.
    seeds : how many, from the scenario's own on, or which.
    baseline, target, last, out, overwrite, parallel, lanes : as of `fedsim compare`.
    verbose : whether to print how each run ended, as it ends.
    overrides : values by dotted key, as `--set`; in a keyword write two underscores for a dot.

    Raises
    ------
    ScenarioError : strategies that do not fit the scenario, all of them at once, before anything runs.

    Examples
    --------
    ::

        found = fedsim.compare("scenarios/quickstart.yaml", ["fedavg", "fedstale:beta=0.3"], seeds=5)
        found.table["test_accuracy_difference"]
    """
    from fedsim.study.compare import compare as run_all
    from fedsim.study.compare import parse_target
    from fedsim.study.strategies import read_with_strategies

    return run_all(
        read_with_strategies(source, strategies, dotted(overrides)),
        seeds=seeds,
        out=None if out is None else os.fspath(out),
        baseline=baseline,
        target=None if target is None else parse_target(target),
        last=last,
        overwrite=overwrite,
        parallel=parallel,
        lanes=lanes,
        tell=_tell if verbose else None,
    )


def _tell(run: ComparedRun) -> None:
    numbers = "  ".join(f"{name} {value:.4g}" for name, value in run.outcome.headlines.items())
    _console().print(
        f"{run.label}, seed {run.seed}: {run.outcome.status}  {numbers}".rstrip(),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def sweep(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    out: str | os.PathLike[str] | None = None,
    parallel: int | None = None,
    lanes: bool = True,
    overwrite: bool = False,
    **overrides: Any,
) -> Sweep:
    """Run every combination of the values under a scenario's `sweep:`.

    Parameters
    ----------
    source : a scenario file, or its content as a mapping.
    out, parallel, lanes, overwrite : as of `fedsim sweep`.
    overrides : as of `run`. Objects without a source run one after the other in this process.

    Raises
    ------
    ScenarioError : with every problem of every combination, before anything runs.

    Examples
    --------
    ::

        found = fedsim.sweep("scenario.yaml", model=Net, sweep={"model.hidden": [16, 64], "seed": [1, 2, 3]})
        found.table
    """
    from fedsim.study.sweep import sweep as run_all

    place = None if out is None else os.fspath(out)
    return run_all(source, dotted(overrides), out=place, parallel=parallel, lanes=lanes, overwrite=overwrite)


def resume(
    folder: str | os.PathLike[str],
    *,
    rounds: int | None = None,
    strict: bool = False,
    **objects: Any,
) -> Run:
    """Continue a run after any stop; it ends as if it had never stopped.

    Parameters
    ----------
    folder, rounds, strict : as of `fedsim resume`.
    objects : what the run was given as Python objects, by the same keywords as of `run`; needed for those that have no
        source.

    Raises
    ------
    ScenarioError : another object than the run had, or a changed file.
    """
    from fedsim.core.foreign.reference import given
    from fedsim.engine.run.run import resume as go_on

    options = dotted(objects)
    with given(dict(texts(options))):
        return go_on(os.fspath(folder), rounds=rounds, strict=strict, unchanged=options)


def texts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the objects in a value by the texts that stand for them in a run's folder."""
    from fedsim.core.foreign.door import is_plain
    from fedsim.core.foreign.reference import of_object
    from fedsim.data.foreign import takes

    if takes(value):
        yield str(of_object(value).text), value
        return
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)
    elif is_dataclass(value) or not is_plain(value):
        kinds = [type(value)] if is_dataclass(value) and not isinstance(value, type) else []
        yield from ((str(of_object(one).text), one) for one in (value, *kinds))
