"""Puts measured tables into `benchmarks/results.md`, each in a section of its own, with machine, date and load."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from fedsim.clients.numerics import pin

RESULTS = Path(__file__).with_name("results.md")
README = Path(__file__).parents[1] / "README.md"
SHOWN = ("W1", "W2", "W3")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; the first column is text, the others are numbers.

    >>> print(table(["a", "b"], [["x", "1"]]))
    | a | b |
    |---|---:|
    | x | 1 |
    """
    lines = [list(header), ["---", *["---:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join(("|" + "|".join(line) + "|") if line[0] == "---" else f"| {' | '.join(line)} |" for line in lines)


def circumstances() -> str:
    """Return machine, versions, date and load in one line: a loaded machine makes other numbers."""
    found = pin()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{found['processor']}, {os.cpu_count()} cores, {memory:.0f} GiB; Python {platform.python_version()}, torch "
        f"{found['torch']} ({found['cpu_capability']}, {found['threads']} thread); "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load {os.getloadavg()[0]:.1f}"
    )


def save(section: str, text: str) -> None:
    """Put a text under a section's heading, in place of what was there; and the speeds into the README."""
    whole = RESULTS.read_text() if RESULTS.exists() else "# Results\n"
    block = f"## {section}\n\n{text.strip()}\n"
    found = re.compile(rf"^## {re.escape(section)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    changed = found.sub(lambda _: block + "\n", whole) if found.search(whole) else f"{whole.rstrip()}\n\n{block}"
    RESULTS.write_text(changed.rstrip() + "\n")
    if README.exists():
        README.write_text(_SPEED.sub(lambda _: speed(RESULTS.read_text()), README.read_text()))


_SPEED = re.compile(r"(?<=<!-- speed -->\n).*?(?=\n\n)", re.DOTALL)


def speed(results: str) -> str:
    """Return the table that the README shows: client updates a second, and how many times those of others."""
    cells: dict[str, list[str]] = {}
    for workload in SHOWN:
        section = re.search(rf"^## {workload}, .*?(?=^## |\Z)", results, re.MULTILINE | re.DOTALL)
        for line in section[0].splitlines() if section else ():
            found = [cell.strip() for cell in line.strip("|").split("|")]
            if len(found) == 7 and found[1][:1].isdigit():
                name, _, rate, flower, plain, *_ = found
                times = "" if "fedsim" not in name else f" ({flower}, {plain})"
                cells.setdefault(name, []).append(rate + times)
    return table(
        ["client updates/s (times Flower's, times the plain loop's)", *SHOWN], [[n, *c] for n, c in cells.items()]
    )
