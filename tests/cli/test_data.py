"""`fedsim data`: the table, the picture, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedsim.cli.scenario.data import data
from fedsim.core import ScenarioError

SCENARIO = """\
name: split
seed: 1
rounds: 3
data: {dataset: digits, clients: 100, partition: {kind: dirichlet, alpha: 0.1}}
model: {name: linear}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO)
    return str(path)


def test_the_table_shows_sizes_labels_and_what_is_held_out(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    data(scenario)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "split: digits, 100 clients, dirichlet (alpha 0.1, min_examples 1), seed 1"
    assert "1,438 in all" in lines[3]
    assert "test split  359 examples" in lines
    assert "features    1 x 8 x 8 float32" in lines


def test_values_may_be_changed_on_the_command_line(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    data(scenario, set=["data.partition={kind: iid}", "data.clients=10"])
    assert capsys.readouterr().out.startswith("split: digits, 10 clients, iid, seed 1\n")


def test_the_picture_is_written_where_asked(scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "split.png"
    data(scenario, out=out)
    assert out.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.endswith(f"picture: {out}\n")


def test_data_made_on_demand_is_summarised(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    data(scenario, set=["data={dataset: synthetic, clients: 300000, examples: 20}"])
    out = capsys.readouterr().out
    assert "6,000,000 in all" in out
    assert "labels of 1,000 evenly spaced clients" in out


def test_a_quadratic_shows_its_optimum(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["data={dataset: quadratic, centers: [[0.0], [3.0]], curvature: [1.0, 2.0]}"]
    data(scenario, set=[*options, "model={name: point, init: [4.0]}"])
    out = capsys.readouterr().out
    assert "curvature   1 to 2" in out
    assert "optimum     [2] with uniform weights" in out


def test_a_quadratic_has_no_picture(scenario: str, tmp_path: Path) -> None:
    options = ["data={dataset: quadratic, centers: [[0.0]]}", "model={name: point, init: [4.0]}"]
    with pytest.raises(ScenarioError, match="--out: quadratic has no labels to draw"):
        data(scenario, set=options, out=tmp_path / "split.png")


def test_a_picture_that_is_no_png_is_refused_before_loading(scenario: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"--out: the picture is a PNG; give a name that ends in \.png"):
        data(scenario, out=tmp_path / "split.svg")
