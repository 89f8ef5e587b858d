from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedsim.cli import main
from fedsim.scenario import json_schema


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


def test_the_schema_is_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "schema.json"
    assert main(["schema", "--out", str(path)]) == 0
    assert json.loads(path.read_text()) == json_schema()
    assert capsys.readouterr().out == f"wrote {path}\n"


def test_a_place_that_cannot_be_written_is_a_disk_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--out", str(tmp_path / "no" / "schema.json")]) == 8
    assert "cannot be written" in capsys.readouterr().err
