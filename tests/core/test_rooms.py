"""The house keeps its measure: no circle between files, no long file, no crowded room."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOPS = {
    "fedsim": ROOT / "fedsim",
    "fedsim.strategies": ROOT / "strategies",
    "fedsim.clients": ROOT / "clients",
    "fedsim.cards": ROOT / "scenarios" / "cards",
}
"""Packages by name; three of them stand outside of the folder `fedsim`, where links in it lead to."""
MOST_LINES, MOST_FILES, MOST_ENTRIES = 400, 15, 10


def _files() -> dict[str, Path]:
    """Return every module of the house by its name."""
    links = [top.name for name, top in TOPS.items() if "." in name]
    found = {}
    for name, top in TOPS.items():
        for path in top.rglob("*.py"):
            inside = path.relative_to(top)
            if name != "fedsim" or inside.parts[0] not in links:
                parts = [name, *inside.with_suffix("").parts]
                found[".".join(parts).removesuffix(".__init__")] = path
    return found


def _statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports of a file that are carried out, wherever they stand; those for types only are not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from _statements(child)


def _imported(path: Path, modules: Mapping[str, Path]) -> set[str]:
    """Return the modules of the house that a file imports: `from room import file` is the file."""
    found = set()
    for statement in _statements(ast.parse(path.read_text())):
        if isinstance(statement, ast.ImportFrom) and statement.module:
            names = {f"{statement.module}.{alias.name}" for alias in statement.names}
            found |= {name if name in modules else statement.module for name in names}
        else:
            found |= {alias.name for alias in statement.names}
    return found & set(modules)


def test_no_two_files_import_each_other_directly_or_around() -> None:
    modules = _files()
    imports = {name: _imported(path, modules) - {name} for name, path in modules.items()}
    assert len(imports["fedsim.engine.round.rounds"]) > 5
    assert len([*TopologicalSorter(imports).static_order()]) == len(modules)


def test_every_room_is_in_the_wheel() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert listed == sorted(name for name, path in _files().items() if path.name == "__init__.py")


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in _files().items()}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_no_room_has_more_than_15_files_of_its_own() -> None:
    rooms: dict[Path, list[str]] = {}
    for path in _files().values():
        if path.stem != "__init__":
            rooms.setdefault(path.parent, []).append(path.name)
    assert {str(room): len(files) for room, files in rooms.items() if len(files) > MOST_FILES} == {}


def test_the_engine_has_at_most_10_entries_at_its_top() -> None:
    entries = [path.name for path in (TOPS["fedsim"] / "engine").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES, sorted(entries)
