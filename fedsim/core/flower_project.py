"""The folder of a Flower app as files: its configuration, and the sources of its ClientApp. Flower is not loaded."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = "pyproject.toml"
LEFT_OUT = frozenset({"__pycache__", "node_modules", "build", "dist"})
Value = bool | int | float | str


@dataclass(frozen=True)
class Project:
    """What `pyproject.toml` says: where the ClientApp is, and the options of the app."""

    folder: Path
    client: str
    options: Mapping[str, Value]

    @property
    def module(self) -> Path | None:
        """The file of the module that holds the ClientApp, None where there is none."""
        place = self.folder.joinpath(*self.client.partition(":")[0].split("."))
        found = (path for path in (place.with_name(f"{place.name}.py"), place / "__init__.py") if path.is_file())
        return next(found, None)

    def sources(self) -> dict[str, Path]:
        """Return the files by which the app is known, by their names from its folder.

        These are `pyproject.toml`, the modules beside it and its packages; files of data are not among them.
        """
        packages = [path.parent for path in self.folder.glob("*/__init__.py")]
        first = self.folder / self.client.partition(":")[0].partition(".")[0]
        packages += [first] if first.is_dir() and first not in packages else []
        found = [self.folder / PROJECT, *self.folder.glob("*.py")]
        found += [path for package in packages for path in _python(package)]
        return {path.relative_to(self.folder).as_posix(): path for path in sorted(found)}


def _python(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in LEFT_OUT:
            continue
        if path.is_dir():
            yield from _python(path)
        elif path.suffix == ".py":
            yield path


def read_project(folder: Path) -> Project:
    """Return the app of a folder.

    Raises
    ------
    ValueError : there is none, or it does not say where its ClientApp is.
    """
    if not (folder / PROJECT).is_file():
        raise ValueError(f"there is no Flower app in {folder}: no {PROJECT}")
    try:
        app = tomllib.loads((folder / PROJECT).read_text(encoding="utf-8"))["tool"]["flwr"]["app"]
        client = str(app["components"]["clientapp"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / PROJECT} names no ClientApp: no tool.flwr.app.components.clientapp") from error
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / PROJECT}: {error}") from error
    return Project(folder, client, dict(_flat(app.get("config", {}))))


def _flat(options: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Value]]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
