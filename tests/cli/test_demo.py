"""`fedsim demo`: the quickstart scenario wherever fedsim is installed."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from fedsim.cli import main
from fedsim.cli.run.demo import SCENARIO

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_the_installed_scenario_is_the_quickstart_s_byte_for_byte() -> None:
    assert (files("fedsim.cli.run") / SCENARIO).read_bytes() == (ROOT / "scenarios" / "quickstart.yaml").read_bytes()


def test_the_installed_scenario_is_named_as_data_of_the_package() -> None:
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["package-data"]["fedsim.cli.run"] == [SCENARIO]


def test_the_demo_runs_in_one_process_and_ends_with_its_accuracy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--quiet", "--out", "here"]) == 0
    summary = json.loads((tmp_path / "here" / "summary.json").read_text())
    accuracy = summary["final"]["test_accuracy"]
    assert summary["engine"]["kind"] == "serial"
    assert (summary["status"], summary["rounds"]) == ("completed", 300)
    assert accuracy > 0.95
    assert capsys.readouterr().out.startswith(f"demo: test accuracy {accuracy:.4f} after 300 rounds; ")
