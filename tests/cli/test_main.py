from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from inspect import getdoc

import click
import pytest

from fedsim.cli import COMMANDS, main
from fedsim.core import CapacityError, ScenarioError


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_with_a_docstring_and_explains_itself(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place, text = COMMANDS[name]
    module, function = place.split(":")
    assert getdoc(getattr(import_module(module), function))
    assert text.endswith(".")
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: fedsim {name}")
    assert "\\[" not in out


def test_help_names_every_command_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "} >= set(COMMANDS)
    assert max(map(len, lines)) <= 80


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fedsim {version('fedsim-lab')}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--wrong"], "--wrong"),
        (["validdate"], "did you mean 'validate'?"),
        (["validate"], "FILE..."),
        (["validate", "--sett", "a=b", "s.yaml"], "--sett"),
        (["list", "a", "b"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_exits_2_and_says_why(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ScenarioError("[bold]wrong[/bold]"), 2, "[bold]wrong[/bold]\n"),
        (CapacityError("too large"), 4, "too large\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.Abort(), 130, "interrupted\n"),
    ],
)
def test_stops_are_plain_lines_and_exit_codes(
    error: BaseException,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr("fedsim.cli.scenario.schema.schema", fails)
    assert main(["schema"]) == code
    assert capsys.readouterr().err == text


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = "import sys; from fedsim.cli import main; sys.exit(main(['schema']))"
    read, write = os.pipe()
    os.close(read)
    found = subprocess.run(
        [sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (found.returncode, found.stderr) == (141, "")
