"""An unmodified Flower app runs on this engine: twice with the same result, on any number of hosts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

APP = Path(__file__).with_name("app")


def _run(out: Path, *options: str, app: Path = APP) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fedsim", "flower-app", str(app), "--nodes", "6", *options]
    return subprocess.run([*command, "--run-config", f'out="{out}"'], capture_output=True, text=True)


def _result(out: Path, *options: str) -> tuple[list[float], list[float]]:
    done = _run(out, *options)
    assert done.returncode == 0, done.stderr
    with np.load(out) as found:
        return found["model"].tolist(), found["losses"].tolist()


def test_an_app_gives_the_same_twice_and_learns(tmp_path: Path) -> None:
    first, again = (_result(tmp_path / f"{k}.npz") for k in "ab")
    assert first == again
    assert len(first[1]) == 3
    assert np.any(first[0])


@pytest.mark.ray
def test_an_app_gives_the_same_on_hosts_as_in_one_process(tmp_path: Path) -> None:
    assert _result(tmp_path / "hosts.npz", "--hosts", "2") == _result(tmp_path / "one.npz")


def test_a_folder_without_an_app_is_refused(tmp_path: Path) -> None:
    done = _run(tmp_path / "out.npz", app=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == f"{tmp_path}: there is no Flower app here: no pyproject.toml"
