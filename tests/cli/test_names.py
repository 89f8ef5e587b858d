"""The names under which fedsim is installed: a user's own folders do not get in its way, and no old name lingers."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import fedsim

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCENARIO = """
name: own folders
rounds: 2
data: {dataset: digits, clients: 4}
model: {name: linear}
engine: {kind: KIND}
"""


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, check=False)


@pytest.fixture(params=["packages", "plain folders"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project with folders `strategies` and `clients` of its own."""
    for name in ("strategies", "clients"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(f"NAME = {name!r}\n")
        if request.param == "packages":
            (tmp_path / name / "__init__.py").write_text("OWN = True\n")
    return tmp_path


def test_a_users_own_folders_stay_importable_beside_fedsim(folder: Path) -> None:
    code = "import fedsim.strategies, fedsim.clients, strategies.mine, clients.mine; print(strategies.mine.NAME)"
    done = python(folder, "-c", code)
    assert (done.returncode, done.stdout) == (0, "strategies\n"), done.stderr


def test_a_users_own_folders_break_no_command(folder: Path) -> None:
    (folder / "s.yaml").write_text(SCENARIO.replace("KIND", "serial"))
    for arguments in (["validate", "s.yaml"], ["run", "s.yaml", "--quiet", "--out", "run"], ["list"]):
        done = python(folder, "-m", "fedsim", *arguments)
        assert done.returncode == 0, done.stderr


@pytest.mark.ray
@pytest.mark.parametrize("folder", ["packages", pytest.param("plain folders", marks=pytest.mark.full)], indirect=True)
def test_a_users_own_folders_break_no_host_on_ray(folder: Path) -> None:
    (folder / "s.yaml").write_text(SCENARIO.replace("KIND", "ray, hosts: 1"))
    done = python(folder, "-m", "fedsim", "run", "s.yaml", "--quiet", "--out", "run")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["strategies", "clients"])
def test_an_old_import_is_told_the_new_name_in_one_line(name: str, tmp_path: Path) -> None:
    done = python(tmp_path, "-c", f"import fedsim\nfrom {name} import something")
    last = done.stderr.splitlines()[-1]
    assert last == f"ModuleNotFoundError: No module named '{name}'; what fedsim had there is fedsim.{name} now"


def test_an_old_import_in_a_checkout_is_told_the_same() -> None:
    done = python(ROOT, "-c", "from strategies import catalogue")
    assert done.stderr.splitlines()[-1].endswith("what fedsim had there is fedsim.strategies now")


def test_other_missing_modules_are_told_as_ever(tmp_path: Path) -> None:
    done = python(tmp_path, "-c", "import fedsim, no_such_module")
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'no_such_module'"


def test_the_distribution_has_a_name_of_its_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "fedsim-lab"
    assert metadata.version("fedsim-lab") == project["version"] == fedsim.__version__


def test_no_text_advises_to_install_a_strangers_package() -> None:
    told = subprocess.run(
        ["git", "grep", "-nE", r"pip install '?\"?fedsim(\[|['\" ]|$)"], cwd=ROOT, capture_output=True
    )
    hits = [line for line in told.stdout.decode().splitlines() if not line.startswith("tests/cli/test_names.py")]
    assert not hits
