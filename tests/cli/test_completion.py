"""Completion in shells: the options, and the words that a shell is answered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fedsim.cli import COMMANDS, main
from fedsim.cli.completion import SHELLS


def words(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what bash is offered at the end of a line."""
    monkeypatch.setenv("_FEDSIM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    assert main([]) == 0
    return capsys.readouterr().out.split()


def test_every_command_is_offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert words("fedsim ", monkeypatch, capsys) == list(COMMANDS)


def test_commands_and_options_that_begin_so_are_offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words("fedsim rep", monkeypatch, capsys) == [name for name in COMMANDS if name.startswith("rep")]
    assert words("fedsim --show", monkeypatch, capsys) == ["--show-completion"]
    assert words("fedsim run --o", monkeypatch, capsys) == ["--out", "--overwrite"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_is_shown(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--show-completion", shell]) == 0
    assert "_FEDSIM_COMPLETE" in capsys.readouterr().out


def test_a_shell_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--show-completion", "csh"]) == 2
    assert "'bash'" in capsys.readouterr().err


def test_where_no_shell_can_be_told_its_name_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from shellingham import ShellDetectionFailure

    def lost() -> tuple[str, str]:
        raise ShellDetectionFailure

    monkeypatch.setattr("shellingham.detect_shell", lost)
    assert main(["--install-completion"]) == 2
    assert "name it, for instance --install-completion bash" in capsys.readouterr().err


def test_installed_completion_completes_in_bash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["--install-completion", "bash"]) == 0
    script = tmp_path / ".bash_completions" / "fedsim.sh"
    assert str(script) in (tmp_path / ".bashrc").read_text()
    program = tmp_path / "fedsim"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fedsim "$@"\n')
    program.chmod(0o755)
    asked = f'. {script}; COMP_WORDS=(fedsim ver); COMP_CWORD=1; _fedsim_completion {program}; echo "${{COMPREPLY[@]}}"'
    told = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=60, check=False)
    assert told.stdout.split() == ["verify"], told.stderr


def test_a_home_that_cannot_be_written_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert main(["--install-completion", "fish"]) == 8
    assert len(capsys.readouterr().err.splitlines()) == 1
