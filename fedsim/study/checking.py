"""Check a rule, process, codec or local work against every law that applies to it; what it is tells which these are.

What is checked is written as on the command line: a name or a reference, with options as name:option=value.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fedsim import participation, strategies
from fedsim.core import FedsimError, Rule, ScenarioError
from fedsim.core.client_work import DOOR as WORK
from fedsim.core.foreign.door import Door
from fedsim.core.foreign.failures import RefusedError, told
from fedsim.core.foreign.reference import Thing, find
from fedsim.core.uplink import DOOR as CODECS
from fedsim.core.uplink import Codec
from fedsim.core.uplink import catalogue as codecs
from fedsim.laws import CLAIMED, CODEC_LAWS, LAWS, PROCESS_LAWS, WORK_LAWS, Verdict
from fedsim.laws.flower import FLOWER_LAWS, quiet
from fedsim.laws.play import beside
from fedsim.laws.work import Bench, Done
from fedsim.participation.foreign import DOOR as PROCESSES
from fedsim.scenario import Scenario, from_dict, plain_text
from fedsim.scenario.messages import did_you_mean
from fedsim.strategies import corrections
from fedsim.strategies.foreign import DOOR as RULES
from fedsim.strategies.stock import Stock
from fedsim.study.strategies import parse

Law = Callable[[Any], Verdict]
TINY: dict[str, Any] = {
    "name": "check",
    "seed": 3,
    "rounds": 6,
    "data": {"dataset": "quadratic", "centers": [[0.0], [4.0], [1.0], [2.0]], "curvature": [1.0, 3.0, 2.0, 1.0]},
    "model": {"name": "point", "init": [1.0]},
    "client": {"local_steps": 2, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": 0.5},
    "checkpoint": {"every": 3},
}
"""The world in which a rule is played by the engine."""
SURROUNDINGS: tuple[dict[str, Any], ...] = (
    {},
    {"participation": {"kind": "full"}},
    {"participation": {"kind": "full"}, "client": {"local_steps": 1, "lr": 0.1}},
    {"checkpoint": None},
)
"""Worlds that are tried in turn, for rules that refuse the first."""
LEARNT: dict[str, Any] = {
    **{key: TINY[key] for key in ("name", "seed", "rounds", "participation")},
    "data": {"dataset": "synthetic", "clients": 6},
    "model": {"name": "linear"},
    "client": {"local_steps": 3, "batch_size": 8, "lr": 0.1},
    "strategy": {"name": "fedavg"},
}
"""The world in which local work is tried."""


@dataclass(frozen=True)
class Row:
    """One law: its name, what it says, `holds`, `fails` or `does not apply`, and what was seen."""

    law: str
    says: str
    outcome: str
    seen: str


@dataclass(frozen=True)
class Checked:
    """What was checked, as what, and how each law fared."""

    what: str
    kind: str
    rows: tuple[Row, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the laws that do not hold."""
        return tuple(row.law for row in self.rows if row.outcome == "fails")

    def as_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self) | {"failed": self.failed}, indent=2)


def check(text: str, folder: str | None = None) -> Checked:
    """Check what `text` names, as `./rule.py:Fading:fade=0.05` or `fedstale:beta=0.3`; files start at `folder`.

    Raises
    ------
    ScenarioError : nothing of this name is there, an option is wrong, or it is none of the things that have laws.
    """
    folder = folder or os.getcwd()
    found = parse(text)
    if len(found) != 1:
        raise ScenarioError(f"{text}: one thing at a time")
    ((name, written),) = found
    options = {key: plain_text(value) for key, value in written.items()}
    kind, subject, laws = _subject(name, options, folder)
    return Checked(text, kind, tuple(_judged(laws, subject)))


def _subject(name: str, options: Mapping[str, Any], folder: str) -> tuple[str, Any, Sequence[Law]]:
    """Return what a name means: the kind of thing, the thing, and its laws."""
    door = _door(name, folder)
    if isinstance(door, Thing):
        return "Flower strategy", _flower(door, options), FLOWER_LAWS
    if door is PROCESSES:
        scenario = _read({**TINY, "strategy": {"name": "fedavg"}, "participation": {"kind": name, **options}}, folder)
        return "process", scenario.participation.process, PROCESS_LAWS
    if door is CODECS:
        uplink = {"codec": name, **options}
        return "codec", _read({**LEARNT, "uplink": uplink}, folder).uplink, CODEC_LAWS
    if door is WORK:
        client = {**LEARNT["client"], "work": {"name": name, **options}}
        return "local work", _bench(_read({**LEARNT, "client": client}, folder)), WORK_LAWS
    block: dict[str, Any] = {"name": name, **options}
    if name not in strategies.catalogue() and name in corrections.catalogue():
        block = {"name": "fedavg", "correction": block}
    scenario = _first_that_fits(block, folder)
    rule = scenario.strategy
    if isinstance(rule, Stock):
        from fedsim.strategies.flower import shipped

        return "Flower strategy", partial(shipped.make, rule), FLOWER_LAWS
    if not isinstance(rule, Rule):
        raise ScenarioError(f"{name}: has no server model; laws are for rules that have one")
    return "rule", rule, (*LAWS, *CLAIMED, partial_named(played_again, scenario))


def _door(name: str, folder: str) -> Door | Thing:
    """Return through which door a name goes; a Flower strategy comes as the thing itself."""
    known: dict[str, Door] = dict.fromkeys(participation.catalogue(), PROCESSES)
    known |= dict.fromkeys((*strategies.catalogue(), *corrections.catalogue()), RULES)
    known |= {word: CODECS for word in codecs() if word not in known}
    known |= {word: door for door in (PROCESSES, WORK, CODECS, RULES) for word in door.words()}
    if name in known:
        return known[name]
    if not RULES.opens(name):
        raise ScenarioError(f"{name!r} is no rule, process, codec or work, and no reference{did_you_mean(name, known)}")
    try:
        thing = find(name, folder, RULES.group)
    except RefusedError as error:
        raise ScenarioError(f"{name}: {error}") from error
    target = thing.target
    from flwr.serverapp.strategy import Strategy

    if isinstance(target, Strategy) or (inspect.isclass(target) and issubclass(target, Strategy)):
        return thing
    if callable(getattr(target, "train", None)):
        return WORK
    if inspect.isclass(target) and issubclass(target, Codec):
        return CODECS
    has_cohort = any(callable(getattr(target, name, None)) for name in ("cohort", "process"))
    return PROCESSES if has_cohort or inspect.isroutine(target) else RULES


def _flower(thing: Thing, options: Mapping[str, Any]) -> Callable[[], Any]:
    """Return what makes a user's Flower strategy."""
    if not isinstance(thing.target, type):
        raise ScenarioError(f"{thing.place}: {thing.name} is an object, which cannot be made anew; name its class")
    from fedsim.strategies.flower.shipped import ALONE

    names = inspect.signature(thing.target).parameters
    free = any(one.kind is one.VAR_KEYWORD for one in names.values())
    wrong = [f"{thing.text}: {key}: no such option{did_you_mean(key, names)}" for key in options if key not in names]
    if wrong and not free:
        raise ScenarioError("\n".join(wrong))
    given = {**{key: value for key, value in ALONE.items() if key in names}, **options}
    made = partial(thing.target, **given)
    try:
        with quiet():
            made()
    except Exception as error:
        raise ScenarioError(f"{thing.text}: {thing.place}: cannot be made: {told(error)}") from error
    return made


def _read(mapping: Mapping[str, Any], folder: str) -> Scenario:
    """Read a tiny scenario; problems name what was written on the command line."""
    try:
        return from_dict(mapping, folder=folder)
    except ScenarioError as error:
        problems = [replace(one, file="check", line=1, column=1) for one in error.problems]
        raise (ScenarioError(problems) if problems else error) from None


def _first_that_fits(block: Mapping[str, Any], folder: str) -> Scenario:
    refused: list[ScenarioError] = []
    for other in SURROUNDINGS:
        try:
            return _read({**TINY, **other, "strategy": dict(block)}, folder)
        except ScenarioError as error:
            refused.append(error)
    raise min(refused, key=lambda error: len(error.problems) or 1)


def _bench(scenario: Scenario) -> Bench:
    """Return a bench on which the local work of a scenario can be tried."""
    from fedsim.clients.foreign.kernel import Carried
    from fedsim.clients.foreign.states import decode, encode
    from fedsim.clients.foreign.work import ClassWork
    from fedsim.clients.training import Trainer

    work, data = scenario.client, scenario.data.load(scenario.seed, scenario.folder)

    def trainer() -> Trainer:
        return Trainer(scenario.model, work, data, scenario.seed, foreign=ClassWork(work.work, scenario.folder))

    def opened() -> Any:
        taught = trainer()
        start = taught.initial()

        def trains(clients: Sequence[int], round: int, kept: Mapping[int, bytes]) -> dict[int, Done]:
            ids, found = np.array(clients, np.int64), {}
            for lane in taught.lanes(start, ids, round, foreign=Carried(kept)):
                for place, client in enumerate(lane.clients.tolist()):
                    state = None if lane.states is None else lane.states[place]
                    found[client] = Done(lane.deltas[place].copy(), state)
            return found

        return trains

    return Bench(opened, trainer().layout.size, lambda state: encode(decode(state)), tuple(range(data.num_clients)))


def played_again(scenario: Scenario, _: Rule) -> Verdict:
    """*engine*: a run from a checkpoint on ends with the bits of the run without a break."""
    import tempfile
    from pathlib import Path

    from fedsim.engine.run.run import execute
    from fedsim.study.verify import verify

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        execute(scenario, out=run)
        found = verify(run)
    return Verdict("engine", not found.differences, " ".join(str(found).split()))


def partial_named(law: Callable[[Scenario, Any], Verdict], scenario: Scenario) -> Law:
    """Return a law of a rule in a scenario, which says what it said."""

    def bound(rule: Any) -> Verdict:
        return law(scenario, rule)

    bound.__doc__ = law.__doc__
    return bound


def said(law: Law) -> tuple[str, str]:
    """Return a law's name and what it says, from its docstring.

    >>> from fedsim.laws import bits_repeat
    >>> said(bits_repeat)
    ('repeatable', 'the same inputs give the same bits')
    """
    name, _, text = (inspect.getdoc(law) or "").partition("\n")[0].partition(": ")
    return name.strip("*"), text.rstrip(".")


def _judged(laws: Sequence[Law], subject: Any) -> Iterator[Row]:
    """Yield how each law fares.

    Code that fails breaks the law that it failed in, once: the same failure again says nothing of the laws after it.
    """
    failures: set[str] = set()
    for law in laws:
        name, text = said(law)
        try:
            verdict = law(subject)
        except ScenarioError as error:
            verdict = beside(name, f"not in the world of this law: {_line(error)}")
        except FedsimError as error:
            verdict = _failing(name, _line(error), failures)
        except Exception as error:
            verdict = _failing(name, told(error), failures)
        outcome = ("holds" if verdict.holds else "fails") if verdict.applies else "does not apply"
        yield Row(name, text, outcome, verdict.seen)


def _failing(name: str, text: str, failures: set[str]) -> Verdict:
    if text in failures:
        return beside(name, "it fails as above")
    failures.add(text)
    return Verdict(name, holds=False, seen=text)


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
