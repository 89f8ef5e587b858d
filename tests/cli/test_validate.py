from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedsim.cli import main

GOOD = "name: x\nrounds: 3\ndata: {dataset: digits, clients: 10}\nmodel: {name: linear}\n"


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_good_scenario_is_ok_with_its_hash_clients_and_rounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "s.yaml", GOOD)
    assert main(["validate", path]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{path}: ok (hash ")
    assert out.endswith(", 10 clients, 3 rounds)\n")


def test_every_problem_of_every_file_is_one_line_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path, "good.yaml", GOOD)
    bad = write(tmp_path, "bad.yaml", GOOD.replace("rounds: 3", "rounds: three") + "sead: 1\n")
    worse = str(tmp_path / "missing.yaml")
    assert main(["validate", bad, good, worse]) == 2
    out, err = capsys.readouterr()
    assert out.startswith(f"{good}: ok")
    lines = err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{bad}:2:9", f"{bad}:5:1", f"{worse}:1:1"]
    assert "did you mean 'seed'?" in lines[1]


def test_options_are_applied_to_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "s.yaml", GOOD)
    assert main(["validate", path, "--set", "rounds=1", "--set", "data.clients=1"]) == 0
    assert capsys.readouterr().out.endswith(", 1 client, 1 round)\n")
    assert main(["validate", path, "--set", "rounds=x"]) == 2
    assert capsys.readouterr().err.startswith("--set rounds=x: rounds: must be a whole number")


def test_all_runs_of_a_sweep_are_checked_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "s.yaml", GOOD + "sweep: {seed: [1, 2, 3], client.lr: [0.1, 0.2]}\n")
    assert main(["validate", path]) == 0
    assert capsys.readouterr().out.endswith(", 3 rounds, 6 runs)\n")
    assert main(["validate", path, "--set", "sweep.seed=[1, -1]"]) == 2


def test_long_lines_are_not_wrapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["validate", write(tmp_path, "s.yaml", GOOD + "participation: full\n")])
    assert len(capsys.readouterr().err.splitlines()) == 1


def loaded_modules(*arguments: str) -> tuple[list[str], str]:
    """Run a command in a fresh interpreter; return the modules that it loaded, and what it printed."""
    program = (
        "import sys, json; from fedsim.cli import main; main(sys.argv[1:]);"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    modules: list[str] = json.loads(found.stderr)
    return modules, found.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["schema"], ["validate"]])
def test_light_commands_load_no_heavy_package(arguments: list[str], tmp_path: Path) -> None:
    given = [*arguments, write(tmp_path, "s.yaml", GOOD)] if arguments == ["validate"] else arguments
    modules, out = loaded_modules(*given)
    heavy = {"torch", "ray", "flwr", "sklearn", "pandas", "matplotlib", "sqlalchemy", "plotly", "fastapi", "scipy"}
    assert heavy.isdisjoint(modules)
    assert out
