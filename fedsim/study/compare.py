"""Running a comparison: every strategy on every seed, one Ray session, each seed's data loaded once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex

from fedsim.analysis.comparison import ComparedRun, Comparison, Target
from fedsim.analysis.comparison_files import write
from fedsim.analysis.outcome import RunResult
from fedsim.core import ScenarioError
from fedsim.core.config.inputs import Input
from fedsim.core.system.signals import Signals, listener
from fedsim.engine.experiment import build
from fedsim.metrics import METRICS
from fedsim.metrics.registry import metric_of, out_of_reach
from fedsim.scenario import Scenario, Variant, read_inputs, slug
from fedsim.scenario.messages import did_you_mean
from fedsim.study.batch import Batch, Planned, batch_folder, max_hosts, plan_key, reasons, recognised, run_folders
from fedsim.study.strategies import all_problems, lineup, with_strategy
from fedsim.study.workers import RunJob, run_all

Tell = Callable[[ComparedRun], None]


def compare(
    scenario: Scenario,
    *,
    seeds: SupportsIndex | Iterable[SupportsIndex] = 5,
    out: str | Path | None = None,
    baseline: str | None = None,
    target: Target | None = None,
    last: int = 1,
    also: Sequence[str] = (),
    overwrite: bool = False,
    parallel: int | None = None,
    lanes: bool = True,
    signals: Signals | None = None,
    tell: Tell | None = None,
    say: Callable[[str], None] | None = None,
) -> Comparison:
    """Run the strategies under `compare:` on the same schedules and leave tables and figures in a folder.

    Runs advance in step where their clients can train in one stream (not without `lanes`), on all cores of this
    machine or on `parallel` processes; `say` is told how. No way changes a bit.

    `also` names metrics that are measured besides the usual ones.

    Runs that were finished in `out` before are recognised and not repeated, unless `overwrite`.

    Raises
    ------
    ScenarioError : strategies that do not fit, all of them at once, before anything runs.
    Stopped : after a signal; what was finished is recognised the next time.
    """
    lines = lineup(scenario)
    ready = _checked(scenario, lines)
    rules = {label: one.strategy for label, one in ready.items()}
    marks = _marks(scenario, lines)
    chosen = _baseline(baseline, rules)
    numbers = seed_numbers(seeds, scenario.seed)
    if target is not None and metric_of(target.metric) is None:
        raise ScenarioError(f"--target: {target.metric!r} is no metric{did_you_mean(target.metric, METRICS)}")
    never = None if target is None else out_of_reach(target.metric, target.value)
    if never is not None:
        raise ScenarioError(f"--target: {never}")
    held = {label: read_inputs(one) for label, one in ready.items()}
    plan = [
        (label, Planned(f"{label}-seed{seed}", replace(one, seed=seed), held[label]))
        for seed in numbers
        for label, one in ready.items()
    ]
    runs = [one for _, one in plan]
    default = f"compare-{slug(scenario.name)}-{plan_key(runs)}"
    signals = signals or listener()
    with batch_folder(out, default) as folder, Batch(signals, max_hosts(list(ready.values()))) as batch:
        folders = run_folders(folder, runs)
        known = [None if overwrite else recognised(path, one) for path, one in zip(folders, runs, strict=True)]
        if not all(known):
            _build_all(batch, numbers[0], ready, held)
        why = reasons(folder, runs)
        ended: dict[int, ComparedRun] = {}
        told = iter(range(len(plan)))
        waiting = next(told)

        def done(place: int, outcome: RunResult) -> None:
            nonlocal waiting
            label, one = plan[place]
            ended[place] = ComparedRun(label, one.scenario.seed, outcome)
            while waiting in ended:  # told in the order of the plan
                if tell is not None:
                    tell(ended[waiting])
                waiting = next(told, -1)

        for place, before in enumerate(known):
            if before is not None:
                done(place, before)

        def newly(place: int, outcome: RunResult) -> None:
            done(place, replace(outcome, anew=why[place]))

        left = [place for place, before in enumerate(known) if before is None]
        jobs = {place: RunJob(runs[place].scenario, folders[place], runs[place].inputs, overwrite) for place in left}
        run_all(jobs, parallel, lanes=lanes, signals=signals, done=newly, here=True, say=say)
        entries = [ended[place] for place in range(len(plan))]
        _assert_same_schedules([entry for entry in entries if entry.label not in marks])
        found = Comparison(
            scenario.name, folder, rules, chosen, numbers, tuple(entries), target, last, marks, tuple(also)
        )
        write(found)
    return found


MAX_SEEDS = 100_000
"""Seeds of one comparison at most."""


def seed_numbers(seeds: SupportsIndex | Iterable[SupportsIndex], first: int) -> tuple[int, ...]:
    """Return the seeds of a comparison: so many from the scenario's own one on, or a list.

    >>> seed_numbers(3, 7), seed_numbers([1, 4], 7)
    ((7, 8, 9), (1, 4))
    """
    try:
        given = [index(one) for one in seeds] if isinstance(seeds, Iterable) else index(seeds)
    except TypeError:
        raise ScenarioError(f"--seeds: give a number of seeds or a list of whole numbers, got {seeds!r}") from None
    if isinstance(given, int) and given > MAX_SEEDS:
        raise ScenarioError(f"--seeds: at most {MAX_SEEDS:,} seeds at once, got {given:,}")
    numbers = tuple(range(first, first + given)) if isinstance(given, int) else tuple(given)
    if not numbers:
        raise ScenarioError(f"--seeds: must be at least 1, got {seeds}")
    if max(numbers) >= 2**63:
        raise ScenarioError(f"--seeds: a seed is below 2**63, got {max(numbers)}")
    if min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise ScenarioError(
            f"--seeds: seeds are whole numbers from 0 on, each once; got {', '.join(map(str, numbers))}"
        )
    return numbers


def parse_seeds(text: str) -> int | list[int]:
    """Read `--seeds`: a count, or a list of seeds.

    >>> parse_seeds("5"), parse_seeds("1,4,7"), parse_seeds("3,")
    (5, [1, 4, 7], [3])
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1 and not parts[-1]:
        parts.pop()
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ScenarioError(f"--seeds: give a number of seeds (5) or a list of seeds (1,4,7), got {text!r}")
    return [int(part) for part in parts] if "," in text else int(text)


def parse_target(text: str) -> Target:
    """Read `--target`.

    >>> parse_target("test_accuracy=0.9").value
    0.9
    """
    metric, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not equals or not isfinite(number):
        raise ScenarioError(f"--target: write it as METRIC=VALUE, for instance test_accuracy=0.9; got {text!r}")
    return Target(metric.strip(), number)


def _baseline(asked: str | None, rules: Mapping[str, Any]) -> str:
    """Return the label of the baseline: by its label, or by a name that only one of the strategies has."""
    if asked is None or asked in rules:
        return asked or next(iter(rules))
    named = [label for label, rule in rules.items() if rule.name == asked]
    if len(named) != 1:
        known = ", ".join(rules)
        why = f"several strategies have the name {asked!r}" if named else f"{asked!r} is none of the strategies"
        raise ScenarioError(f"--baseline: {why}{'' if named else did_you_mean(asked, rules)}; they are: {known}")
    return named[0]


MARKED = {
    "data": "other data",
    "model": "other first parameters",
    "participation": "other absences",
    "devices": "other absences",
    "faults": "other failures",
}
"""What a variant may have of its own that lines of a comparison otherwise share."""


def _marks(scenario: Scenario, lines: Mapping[str, Any]) -> dict[str, str]:
    """Return for each variant that does not share data, first parameters and absences what it has of its own."""
    found = {}
    for label, one in lines.items():
        if isinstance(one, Variant):
            changed = [key for key in MARKED if getattr(one.scenario, key) != getattr(scenario, key)]
            if changed:
                found[label] = ", ".join(dict.fromkeys(MARKED[key] for key in changed))
    return found


def _checked(scenario: Scenario, rules: Mapping[str, Any]) -> dict[str, Scenario]:
    ready, errors = {}, []
    for label, rule in rules.items():
        try:
            ready[label] = rule.scenario if isinstance(rule, Variant) else with_strategy(scenario, rule, label)
        except ScenarioError as error:
            errors.append((label, error))
    if errors:
        raise all_problems(errors)
    return ready


def _build_all(batch: Batch, seed: int, ready: Mapping[str, Scenario], held: Mapping[str, Sequence[Input]]) -> None:
    """Put every strategy's run together once, so that what only the data can tell is known before anything runs."""
    errors = []
    first = [(label, replace(one, seed=seed)) for label, one in ready.items()]
    data = batch.data(first[0][1], held[first[0][0]])
    for label, one in first:
        try:
            build(one, data, held[label])
        except ScenarioError as error:
            errors.append((label, error))
    if errors:
        raise all_problems(errors)


def _assert_same_schedules(entries: Sequence[ComparedRun]) -> None:
    """All strategies of a seed met the same absences, as far as they ran."""
    seen: dict[tuple[int, int], str] = {}
    for entry in entries:
        summary = entry.outcome.summary
        if summary.get("schedule_hash"):
            place = (entry.seed, int(summary["rounds"]))
            first = seen.setdefault(place, summary["schedule_hash"])
            assert first == summary["schedule_hash"], f"seed {entry.seed}: {entry.label} met another schedule"
