"""Graph files of other tools: every line is an edge, or refused with its number."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedsim.core import ScenarioError, World
from fedsim.graphs.edge_list import read_edges
from fedsim.graphs.topology import Edges


def write(folder: Path, text: str) -> Path:
    (folder / "graph.txt").write_text(text, encoding="utf-8")
    return folder / "graph.txt"


@pytest.mark.parametrize(
    "text",
    [
        "0 1\n1 2\n",
        "0 1 {}\n1 2 {}\n",
        "# from a\n0\t1\n\n1\t2 # last\n",
        "0,1\r\n1 , 2\r\n",
        "0; 1\n1;2",
        "\ufeff0 1\n1   2",
    ],
    ids=["blanks", "networkx", "remarks and tabs", "commas", "semicolons", "byte order mark"],
)
def test_the_forms_of_other_tools_are_understood(tmp_path: Path, text: str) -> None:
    assert read_edges(write(tmp_path, text), 3).tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1", "must be two client ids, got '1'"),
        ("source,target", "must be two client ids, got 'source target'"),
        ("1.0 2", "must be two client ids, got '1.0 2'"),
        ("-1 2", "must be two client ids, got '-1 2'"),
        ("1,,2", "must be two client ids, got '1  2'"),
        ("1 2 0.5", "has more than two client ids: '1 2 0.5'; weights are not read"),
        ("1 2 {'weight': 0.5}", "has more than two client ids: '1 2 {'weight': 0.5}'; weights"),
        ("1 3", "client ids go from 0 to 2, got '1 3'"),
        ("2 2", "an edge joins two different clients, got '2 2'"),
    ],
)
def test_every_other_line_is_refused_with_its_number(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, f"0 1\n{line}\n")
    with pytest.raises(ScenarioError) as error:
        read_edges(path, 3)
    assert str(error.value).replace('"', "'").startswith(f"{path}:2:1: {message}")


def test_all_wrong_lines_are_told_at_once_at_validation(tmp_path: Path) -> None:
    write(tmp_path, "0 1\nx y\n1 2 3\n")
    found = list(Edges(path="graph.txt").problems_in(World(0, 3, folder=str(tmp_path))))
    assert [(key, message.split(": ")[0]) for key, message in found] == [
        ("path", f"{tmp_path}/graph.txt:2:1"),
        ("path", f"{tmp_path}/graph.txt:3:1"),
    ]
