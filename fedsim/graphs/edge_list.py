"""Edge lists as text: two client ids a line. Every line is understood, or refused with its number."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedsim.core import Problem, ScenarioError

_ID = re.compile(r"[0-9]{1,18}\Z")
_MOST = 20


def read_edges(path: Path, num_clients: int) -> npt.NDArray[np.int64]:
    """Return the edges (E, 2) of a text file.

    A line holds two client ids, apart by blanks, a tab, a comma or a semicolon; `#` begins a remark, and the empty
    `{}` that networkx writes after an edge is allowed. Weights are refused: what a neighbour counts is for `mixing`.

    Raises
    ------
    ScenarioError : with FILE:LINE for every line that is not an edge between two clients (the first twenty of them).
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: is not a text file (UTF-8)") from None
    edges: list[tuple[int, int]] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip().removesuffix("{}").strip()
        if not text:
            continue
        fields = [field.strip() for field in re.split(r"[,;]|\s+(?![,;\s])", re.sub(r"\s*([,;])\s*", r"\1", text))]
        wrong = _problem(fields, num_clients)
        if wrong is None:
            edges.append((int(fields[0]), int(fields[1])))
        else:
            problems.append(Problem(str(path), number, 1, "", wrong))
    if problems:
        left_out = len(problems) - _MOST
        more = [Problem(str(path), problems[_MOST].line, 1, "", f"... and {left_out} more")] if left_out > 0 else []
        raise ScenarioError([*problems[:_MOST], *more])
    return np.array(edges, np.int64).reshape(-1, 2)


def _problem(fields: list[str], num_clients: int) -> str | None:
    """Return what is wrong with the fields of a line, None when they are an edge."""
    given = " ".join(fields)
    given = repr(given if len(given) <= 60 else f"{given[:60]}...")
    if not all(_ID.match(field) for field in fields[:2]) or len(fields) < 2:
        return f"must be two client ids, got {given}"
    if len(fields) > 2:
        return f"has more than two client ids: {given}; weights are not read, they follow from `mixing`: leave them out"
    first, second = map(int, fields)
    if max(first, second) >= num_clients:
        return f"client ids go from 0 to {num_clients - 1}, got {given}"
    return f"an edge joins two different clients, got {given}" if first == second else None
