"""`fedsim run`: what a newcomer sees, and what he is told when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedsim.cli import main

TOY = """
name: toy
rounds: 3
data: {dataset: quadratic, centers: [[0.0], [2.0], [6.0]]}
model: {name: point, init: [4.0]}
client: {local_steps: 1, lr: 0.5}
"""
Scenario = Callable[..., Path]


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """Write a scenario into an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def write(text: str = TOY) -> Path:
        (tmp_path / "toy.yaml").write_text(text)
        return Path("toy.yaml")

    return write


def test_a_run_prints_its_progress_a_result_table_and_where_things_are(
    scenario: Scenario, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(scenario()), "--out", "here"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert lines[0] == "toy: fedavg, 3 clients, 3 rounds, seed 0"
    assert lines[1].startswith("round 0/3  test loss")
    assert sum(line.startswith("round 3/3") for line in lines) == 1
    end = next(place for place, line in enumerate(lines) if line.startswith("completed after 3 rounds"))
    table = dict(line.strip().split("  ", 1) for line in lines[end + 1 :])
    assert {"test loss", "distance", "files", "store"} <= set(table)
    assert (table["files"].strip(), table["store"].strip()) == ("here", "fedsim.db")


def test_quiet_prints_nothing(scenario: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(scenario()), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_values_are_set_on_the_command_line(scenario: Scenario) -> None:
    assert main(["run", str(scenario()), "--out", "x", "-q", "--set", "seed=3", "--set", "client.lr=1e-1"]) == 0
    assert json.loads(Path("x/summary.json").read_text())["seed"] == 3
    assert "lr: 0.1" in Path("x/scenario.yaml").read_text()


def test_the_same_folder_twice_is_refused_with_2_unless_overwrite_is_said(
    scenario: Scenario, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", str(scenario()), "--out", "x", "-q"]
    assert main(run) == 0
    assert main(run) == 2
    assert capsys.readouterr().err == ("--out x: the folder is not empty; choose another, or say --overwrite\n")
    assert main([*run, "--overwrite"]) == 0


WRONG = {
    "unknown key": (TOY + "participaton: {kind: full}\n", [":7:1: participaton: ", "did you mean 'participation'"]),
    "wrong type": (TOY.replace("rounds: 3", "rounds: many"), [":3:9: rounds: ", "many"]),
    "out of range": (TOY.replace("lr: 0.5", "lr: -0.5"), ["client.lr: ", "-0.5"]),
    "unknown strategy": (TOY + "strategy: {name: fedstal}\n", ["strategy.name: ", "did you mean 'fedstale'"]),
    "impossible together": (
        TOY + "strategy: {name: fedstale}\nparticipation: {kind: schedule, cohorts: [[0]]}\n",
        ["strategy.probabilities", "estimated"],
    ),
    "client that does not exist": (
        TOY + "participation: {kind: schedule, cohorts: [[3]]}\n",
        ["client 3 does not exist"],
    ),
    "duplicate key": (TOY + "rounds: 4\n", [":7:1: rounds: "]),
    "syntax": (TOY + "data: [\n", [":8:1: "]),
    "empty": ("", ["toy.yaml"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_scenario_is_refused_with_2_in_plain_lines_and_leaves_no_folder(
    case: str, scenario: Scenario, capsys: pytest.CaptureFixture[str]
) -> None:
    text, told = WRONG[case]
    assert main(["run", str(scenario(text))]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("toy.yaml")
    assert "Traceback" not in err
    assert all(part in err for part in told), err
    assert not Path("runs").exists()


def test_all_problems_are_told_at_once(scenario: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    text = TOY.replace("rounds: 3", "rounds: 0").replace("lr: 0.5", "lr: fast") + "sead: 1\n"
    assert main(["run", str(scenario(text))]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


@pytest.mark.parametrize("path", ["missing.yaml", "."])
def test_a_missing_file_and_a_folder_are_refused_with_2(
    path: str, scenario: Scenario, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario()
    assert main(["run", path]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("{dataset: idx, path: mnist, clients: 5}", ["mnist", "train-images"]),
        ("{dataset: cifar, path: cifar-10, clients: 5}", ["cifar-10", "data_batch_1.bin"]),
        ("{dataset: npz, path: mine.npz, clients: 5}", ["mine.npz", "x", "y"]),
    ],
)
def test_missing_data_files_name_what_is_expected_where(
    data: str, told: list[str], scenario: Scenario, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"name: t\nrounds: 1\ndata: {data}\nmodel: {{name: linear}}\n"
    assert main(["run", str(scenario(text))]) == 2
    err = capsys.readouterr().err
    assert all(part in err for part in told), err
    assert not Path("runs").exists()


def test_a_wrong_scenario_starts_no_ray(scenario: Scenario) -> None:
    path = scenario(TOY + "engine: {kind: ray, hots: 2}\n")
    script = "import sys; from fedsim.cli import main; print(main(sys.argv[1:]), 'ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, "run", str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]


def test_a_diverging_run_stops_with_6_and_says_where(scenario: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    text = TOY.replace("rounds: 3", "rounds: 400").replace("lr: 0.5", "lr: 1000")
    assert main(["run", str(scenario(text)), "--out", "x", "-q"]) == 6
    assert json.loads(Path("x/summary.json").read_text())["status"] == "diverged"
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "engine", [pytest.param("ray", marks=pytest.mark.ray), pytest.param("processes", marks=pytest.mark.slow)]
)
def test_the_quickstart_learns_on_two_hosts_within_a_minute_and_says_nothing_else(engine: str, tmp_path: Path) -> None:
    file = Path("scenarios/quickstart.yaml").resolve()
    done = subprocess.run(
        [sys.executable, "-m", "fedsim", "run", str(file), "--out", "q", "--set", f"engine.kind={engine}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=True,
    )
    summary = json.loads((tmp_path / "q" / "summary.json").read_text())
    assert summary["final"]["test_accuracy"] > 0.95
    assert summary["engine"]["hosts"].keys() == {"host-0", "host-1"}
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "quickstart: fedstale, 100 clients, 300 rounds, seed 1"


def test_the_ceiling_of_the_quickstart_is_its_own_model_on_all_data(tmp_path: Path) -> None:
    assert main(["run", "scenarios/centralised.yaml", "--out", str(tmp_path / "c"), "-q"]) == 0
    assert json.loads((tmp_path / "c" / "summary.json").read_text())["final"]["test_accuracy"] > 0.97


@pytest.mark.slow
def test_a_reader_that_goes_away_does_not_hold_up_a_run(scenario: Scenario) -> None:
    text = TOY.replace("rounds: 3", "rounds: 30") + "checkpoint: {every: 1}\n"
    command = [sys.executable, "-m", "fedsim", "run", str(scenario(text)), "--out", "piped"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 0
    assert json.loads(Path("piped/summary.json").read_text())["rounds"] == 30


def test_a_summary_says_why_a_run_failed(scenario: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = ["--set", "engine.kind=ray", "--set", "engine.address=127.0.0.1:1"]
    assert main(["run", str(scenario()), "--out", "x", *nowhere]) == 5
    assert "no Ray cluster at 127.0.0.1:1" in json.loads(Path("x/summary.json").read_text())["reason"]
    assert "no Ray cluster at 127.0.0.1:1" in capsys.readouterr().err
