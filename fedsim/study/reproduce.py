"""Reproduce the set-up of a paper: run a card's lines on its seeds, and give a verdict on every claim."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from fedsim.analysis.cards.card import Card
from fedsim.analysis.cards.files import RESULT, write
from fedsim.analysis.cards.result import CardResult
from fedsim.analysis.comparison import ComparedRun, Comparison, Target
from fedsim.core import Problem, ScenarioError
from fedsim.core.system.signals import Signals
from fedsim.scenario import Scenario, Variant, load, override, quick_form
from fedsim.scenario.check import INVALID, Findings, read
from fedsim.scenario.messages import did_you_mean
from fedsim.scenario.raw import Overrides, read_scenario
from fedsim.scenario.tree import Keys, Place, exactly, nearest, plain
from fedsim.study.compare import compare, seed_numbers
from fedsim.study.strategies import lineup


def shelf() -> dict[str, Path]:
    """Return the cards that come with fedsim, by name."""
    room = Path(str(files("fedsim.cards")))
    return {path.stem: path for path in sorted(room.glob("*.yaml"))}


def find_card(word: str) -> Path:
    """Return the file of a card: one that comes with fedsim, by its name, or a file of your own."""
    path = Path(word)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    known = shelf()
    if word not in known:
        raise ScenarioError(
            f"there is no card {word!r}{did_you_mean(word, known)}; `fedsim reproduce --list` names all"
        )
    return known[word]


def read_card(word: str, overrides: Overrides = (), *, quick: bool = False) -> Scenario:
    """Return the scenario of a card, or its quick form, with overrides over it. Both forms are checked.

    Where a card comes with fedsim, relative input paths start at the working folder.

    Raises
    ------
    ScenarioError : with every problem of the card, and of claims about lines that it has not.
    """
    path = find_card(word)
    try:
        return _read(path, overrides, quick)
    except ScenarioError as error:
        about = read_about(path)[0]
        if about is None or about.files is None:
            raise
        cure = f"; this card asks for files: {' '.join(about.files.split())}"
        told = [replace(p, message=p.message + cure * p.key.startswith("data")) for p in error.problems]
        raise ScenarioError(told or str(error)) from error


def _read(path: Path, overrides: Overrides, quick: bool) -> Scenario:
    inside = path.parent in {one.parent for one in shelf().values()}
    here: list[str] = [f"folder={json.dumps(os.getcwd())}"] if inside else []
    whole = load(path, [*here, *overrides])
    if whole.card is None:
        text = "is missing: title, source, claims, hours and quick make a scenario a card"
        raise ScenarioError([Problem(str(path), 1, 1, "card", text)])
    small = override(quick_form(whole), overrides) if overrides else quick_form(whole)
    problems = dict.fromkeys([*_about_lines(whole), *_about_lines(small)])
    if problems:
        raise ScenarioError(list(problems))
    return small if quick else whole


def read_about(path: Path) -> tuple[Card | None, str]:
    """Return what a file holds under `card:`, None where that is not sound, and the word of its dataset.

    Nothing else is read: the data need not be here.
    """
    tree = read_scenario(path, ()).tree or Keys({}, Place(str(path)))
    node, data = exactly(tree, ("card",)), exactly(tree, ("data", "dataset"))
    found = read(node, Card, ("card",), node.place, Findings()) if isinstance(node, Keys) else INVALID
    return (found if isinstance(found, Card) else None), str(plain(data)) if data is not None else ""


def _about_lines(scenario: Scenario) -> Iterator[Problem]:
    """Yield a problem for every label in a card that no line of its comparison has."""
    card, lines = _card(scenario), lineup(scenario)
    named: list[tuple[tuple[str, ...], Any]] = [(("baseline",), card.baseline)]
    for k, claim in enumerate(card.claims):
        named += [(("claims", str(k), key), getattr(claim, key)) for key in ("of", claim.side)]
    named += [(("published", str(k), "of"), one.of) for k, one in enumerate(card.published)]
    for path, label in named:
        if isinstance(label, str) and label not in lines:
            assert scenario.origin is not None, "a card is read from a file"
            place = nearest(scenario.origin.tree, ("card", *path)).place
            text = f"{label!r} is no line of this comparison{did_you_mean(label, lines)}; they are: {', '.join(lines)}"
            yield Problem(place.file, place.line, place.column, ".".join(("card", *path)), text)


def _card(scenario: Scenario) -> Card:
    assert scenario.card is not None, "read_card refuses a scenario without one"
    return scenario.card


def reproduce(
    word: str,
    overrides: Overrides = (),
    *,
    quick: bool = False,
    seeds: int | Sequence[int] | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    parallel: int | None = None,
    signals: Signals | None = None,
    tell: Callable[[ComparedRun], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> CardResult:
    """Run a card and leave its verdicts, curves and report in a folder, runs/cards/NAME unless `out` names one.

    Interrupted, the same call goes on where it was: finished runs are not repeated.

    Raises
    ------
    ScenarioError : a mistake in the card, or data that are not here.
    Stopped : after a signal.
    """
    scenario = read_card(word, overrides, quick=quick)
    card, name = _card(scenario), find_card(word).stem
    folder = Path(out) if out is not None else Path("runs") / "cards" / (f"{name}-quick" if quick else name)
    chosen = seed_numbers(card.seeds if seeds is None else seeds, scenario.seed)
    before, began = _spent(folder), monotonic()
    found = compare(
        scenario,
        seeds=chosen,
        out=folder,
        baseline=card.baseline,
        target=None if card.target is None else Target(card.target.metric, card.target.value),
        last=card.last,
        also=card.metrics,
        overwrite=overwrite,
        parallel=parallel,
        signals=signals,
        tell=tell,
        say=say,
    )
    trained = monotonic() - began if any(not one.outcome.recognised for one in found.entries) else 0.0
    kept = before if any(one.outcome.recognised for one in found.entries) else 0.0
    changed = [*map(_words, overrides), *([] if seeds is None else [f"seeds {', '.join(map(str, chosen))}"])]
    result = CardResult(
        name=name,
        card=card,
        found=found,
        quick=quick,
        changed=tuple(changed),
        data=_data_hashes(scenario, found),
        hours=kept + trained / 3600,
        cores=min(parallel or 10**6, len(os.sched_getaffinity(0))),
    )
    write(result)
    return result


def _words(option: str | tuple[str, Any]) -> str:
    return option if isinstance(option, str) else f"{option[0]}={option[1]}"


def _spent(folder: Path) -> float:
    """Return the hours that a card in a folder has taken before."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return float(json.loads((folder / RESULT).read_text())["hours"]["spent"])
    return 0.0


def _data_hashes(scenario: Scenario, found: Comparison) -> dict[str, str]:
    """Return the sha256 of the data by seed, and of lines with data of their own by label and seed."""
    own = {
        label: line.scenario
        for label, line in found.strategies.items()
        if isinstance(line, Variant) and line.scenario.data != scenario.data
    }
    hashes = {}
    for seed in found.seeds:
        hashes[str(seed)] = data_sha256(scenario.data.load(seed, scenario.folder))
        for label, one in own.items():
            hashes[f"{label} {seed}"] = data_sha256(one.data.load(seed, one.folder))
    return hashes


def data_sha256(data: Any) -> str:
    """Return the sha256 of all arrays of a dataset, by their names: examples, targets, who holds which.

    >>> data_sha256([np.zeros(2)]) == data_sha256([np.zeros(2)]) != data_sha256([np.zeros(3)])
    True
    """
    found = sha256()

    def walk(name: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            found.update(f"{name} {value.dtype.str} {value.shape} ".encode())
            found.update(np.ascontiguousarray(value).tobytes())
        elif is_dataclass(value) and not isinstance(value, type):
            for one in fields(value):
                walk(f"{name}.{one.name}", getattr(value, one.name))
        elif isinstance(value, Mapping):
            for key in sorted(value, key=str):
                walk(f"{name}.{key}", value[key])
        elif isinstance(value, list | tuple):
            for place, item in enumerate(value):
                walk(f"{name}.{place}", item)
        elif isinstance(value, str | int | float | None):
            found.update(f"{name} {value!r} ".encode())

    walk("", data)
    return found.hexdigest()
