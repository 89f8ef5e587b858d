"""Somebody else's Flower app in a folder: its configuration, and how its two halves are loaded."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.common.config import flatten_dict, get_project_config
from flwr.supercore.object_ref import load_app

from fedsim.core import ScenarioError
from fedsim.scenario.messages import did_you_mean

PAIR = re.compile(r"(\S+?)=('[^']*'|\"[^\"]*\"|\S+)")
"""One `key=value` of a `--run-config`, as Flower reads it."""


@dataclass(frozen=True)
class App:
    """A Flower app in a folder: where its two halves are, and its configuration."""

    folder: Path
    server: str
    client: str
    config: Mapping[str, Any]


def read_app(folder: Path, overrides: Sequence[str] = ()) -> App:
    """Return the app of a folder with a `pyproject.toml`; `overrides` are as of `flwr run --run-config`.

    Raises
    ------
    ScenarioError : there is none, it does not say where its halves are, or an override is not one of its options.
    """
    project = folder / "pyproject.toml"
    if not project.is_file():
        raise ScenarioError(f"{folder}: there is no Flower app here: no pyproject.toml")
    try:
        app = get_project_config(folder)["tool"]["flwr"]["app"]
        server, client = str(app["components"]["serverapp"]), str(app["components"]["clientapp"])
        config = flatten_dict(app.get("config", {}))
    except (KeyError, ValueError) as error:
        text = " ".join(str(error).split())
        raise ScenarioError(f"{project}: not the configuration of a Flower app: {text}") from error
    given = read_overrides(overrides)
    unknown = [f"--run-config: {key}: the app has no such option; {_options(key, config)}" for key in given]
    wrong = [text for key, text in zip(given, unknown, strict=True) if key not in config]
    if wrong:
        raise ScenarioError("\n".join(wrong))
    return App(folder.absolute(), server, client, {**config, **given})


def _options(key: str, config: Mapping[str, Any]) -> str:
    return f"it has {', '.join(config) or 'none'}{did_you_mean(key, config)}"


def read_overrides(given: Sequence[str]) -> dict[str, Any]:
    """Return what `--run-config` says: `key=value` pairs, or TOML files; what Flower would pass over is refused.

    >>> read_overrides(["rounds=5 lr=0.1", 'train.name="a b"'])
    {'rounds': 5, 'lr': 0.1, 'train.name': 'a b'}
    >>> read_overrides(["rounds=five lr"])
    Traceback (most recent call last):
    ...
    fedsim.core.errors.ScenarioError: --run-config: lr: not key=value with a number, true, false or "text"
    --run-config: rounds=five: not key=value with a number, true, false or "text"
    """
    found: dict[str, Any] = {}
    problems = []
    for piece, toml in (pair for text in given for pair in _pieces(text)):
        try:
            found.update(flatten_dict(tomllib.loads(toml)))
        except ValueError:
            problems.append(f'--run-config: {piece}: not key=value with a number, true, false or "text"')
    if problems:
        raise ScenarioError("\n".join(problems))
    return found


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield what stands in one `--run-config`, each piece as given and as TOML."""
    if text.endswith(".toml"):
        try:
            yield text, Path(text).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ScenarioError(f"--run-config: {text}: cannot be read: {error}") from error
        return
    yield from ((rest, rest) for rest in PAIR.sub(" ", text).split())
    yield from ((f"{key}={value}", f"{key} = {value}") for key, value in PAIR.findall(text))


def load(app: App, half: str) -> Any:
    """Import one half of an app, and return it; the app's own modules come before any others of their names.

    Raises
    ------
    ScenarioError : the reference names nothing.
    """
    reference = {"serverapp": app.server, "clientapp": app.client}[half]
    module = reference.partition(":")[0]
    _make_way(app.folder, module.partition(".")[0])
    try:
        return load_app(reference, ScenarioError, app.folder)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # a dependency of the app that is not installed: its traceback says who wants it
        raise ScenarioError(f"{app.folder / 'pyproject.toml'}: {half}: there is no module {error.name}") from error


def _make_way(folder: Path, wanted: str) -> None:
    """Put an app's folder first on the path; forget what is loaded from elsewhere by the name of its package.

    Who has imported that keeps it.
    """
    sys.path[:] = [str(folder), *(place for place in sys.path if place != str(folder))]
    if not ((folder / wanted).is_dir() or (folder / f"{wanted}.py").is_file()):
        return
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != wanted:
            continue
        file = getattr(module, "__file__", None)
        if file is not None and not Path(file).is_relative_to(folder):
            del sys.modules[name]
