"""Draw the house: its rooms by floors, and which imports from which, read from the code.

python docs/architecture.py
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = Path(__file__).parent / "figures" / "architecture.svg"
LINKED = {"fedsim.strategies": ROOT / "strategies", "fedsim.clients": ROOT / "clients"}
"""Two rooms stand at the top of the repository."""
APART = "fedsim.engine"
"""The room that is drawn with the rooms inside it."""
UNDER = {"fedsim.analysis": "fedsim.service", "fedsim.store": "fedsim.analysis", "fedsim.task": "fedsim.models"}
"""Rooms that have a floor for themselves and stand below one that uses them, out of the way of other arrows."""
WIDTH, FLOOR, BOX, GAP, MARGIN = 1120, 118, 46, 14, 24

Arrows = set[tuple[str, str]]


def floors() -> list[list[str]]:
    """Return the rooms of each floor, from the top down, as the import contracts state them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip() for room in layer.split("|")] for layer in layers]


def files(room: str) -> list[Path]:
    """Return the Python files of a room."""
    return sorted(LINKED.get(room, ROOT / room.replace(".", "/")).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the names that a file imports, as they stand there."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def arrows(rooms: Iterable[str]) -> Arrows:
    """Return who imports from whom, without what follows from two other arrows."""
    rooms = list(rooms)
    found = {
        (room, other)
        for room in rooms
        for path in files(room)
        for name in imported(path)
        for other in rooms
        if other != room and name.startswith(f"{other}.")
    }
    reach = _closure(found)
    return {(a, b) for a, b in found if not any((a, via) in reach and (via, b) in reach for via in rooms)}


def _closure(found: Arrows) -> Arrows:
    reach = set(found)
    while more := {(a, d) for a, b in reach for c, d in reach if b == c} - reach:
        reach |= more
    return reach


def inner_floors(room: str) -> list[list[str]]:
    """Return the rooms and files inside a room by floors: each above all that it imports from."""
    names = sorted(
        f"{room}.{path.stem}"
        for path in (ROOT / room.replace(".", "/")).iterdir()
        if not path.name.startswith("__") and (path.is_dir() or path.suffix == ".py")
    )
    own = {name: _inside(name, names) for name in names}
    height: dict[str, int] = {}
    while len(height) < len(names):
        ready = [name for name in names if name not in height and own[name] <= set(height)]
        if not ready:
            raise ValueError(f"a circle among {sorted(set(names) - set(height))}")
        height |= {name: 1 + max((height[other] for other in own[name]), default=-1) for name in ready}
    return [[name for name in names if height[name] == floor] for floor in range(max(height.values()), -1, -1)]


def _inside(name: str, names: Iterable[str]) -> set[str]:
    place = ROOT / name.replace(".", "/")
    paths = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    told = {one for path in paths for one in imported(path)}
    return {other for other in names if other != name and any(f"{one}.".startswith(f"{other}.") for one in told)}


def picture() -> str:
    """Return the drawing as SVG."""
    levels = floors()
    places: dict[str, tuple[float, float, float]] = {}
    inside = inner_floors(APART)
    extra = len(inside) * 34
    y, parts = MARGIN, []
    for level in levels:
        width = (WIDTH - 2 * MARGIN - GAP * (len(level) - 1)) / len(level)
        width = min(width, 700 if APART in level else 210)
        left = (WIDTH - width * len(level) - GAP * (len(level) - 1)) / 2
        if level[0] in UNDER:
            left = places[UNDER[level[0]]][0] - width / 2
        for place, room in enumerate(level):
            x = left + place * (width + GAP)
            tall = BOX + (extra if room == APART else 0)
            places[room] = (x + width / 2, y, y + tall)
            parts.append(_box(x, y, width, tall, room, len(files(room))))
            if room == APART:
                parts += _inner(inside, x, y + BOX, width)
        y += FLOOR - 30 + (extra if APART in level else 0)
    lines = [_arrow(places[a], places[b]) for a, b in sorted(arrows(places))]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0f}" '
        'font-family="sans-serif" font-size="14">'
        "<style>rect{fill:#fff;stroke:#44546a}text{fill:#1b2430;text-anchor:middle}.small{font-size:12px;fill:#44546a}"
        ".inner{fill:#eef3fa}path{fill:none;stroke:#0072b2;stroke-width:1.4;opacity:.75}"
        "@media(prefers-color-scheme:dark){rect{fill:#1e2630;stroke:#9fb3c8}text{fill:#eef3fa}.small{fill:#b8c6d6}"
        ".inner{fill:#2a3644}path{stroke:#56b4e9}}</style>"
        '<defs><marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<polygon points="0,0 8,4 0,8" fill="#0072b2"/></marker></defs>'
    )
    return "\n".join([head, *lines, *parts, "</svg>", ""])


def _box(x: float, y: float, width: float, tall: float, room: str, count: int) -> str:
    text = f'<text x="{x + width / 2:.0f}" y="{y + 20:.0f}">{room.removeprefix("fedsim.")}</text>'
    small = f'<text class="small" x="{x + width / 2:.0f}" y="{y + 37:.0f}">{count} files</text>'
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{tall:.0f}" rx="6"/>{text}{small}'


def _inner(levels: list[list[str]], x: float, y: float, width: float) -> list[str]:
    parts = []
    for level in levels:
        each = (width - GAP * (len(level) + 1)) / len(level)
        for place, room in enumerate(level):
            left = x + GAP + place * (each + GAP)
            name = room.rpartition(".")[2]
            parts.append(
                f'<rect class="inner" x="{left:.0f}" y="{y:.0f}" width="{each:.0f}" height="26" rx="4"/>'
                f'<text class="small" x="{left + each / 2:.0f}" y="{y + 17:.0f}">{name}</text>'
            )
        y += 34
    return parts


def _arrow(above: tuple[float, float, float], below: tuple[float, float, float]) -> str:
    (x, _, y), (to, top, _) = above, below
    middle = (y + top) / 2
    curve = f"M{x:.0f},{y:.0f} C{x:.0f},{middle:.0f} {to:.0f},{middle:.0f} {to:.0f},{top - 1:.0f}"
    return f'<path d="{curve}" marker-end="url(#to)"/>'


if __name__ == "__main__":
    PICTURE.write_text(picture())
