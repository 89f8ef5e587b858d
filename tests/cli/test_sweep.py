"""`fedsim sweep`: a grid of runs in worker processes, of which some fail, die or are interrupted."""

from __future__ import annotations

import os
import signal
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fedsim
from fedsim.cli import main
from fedsim.core import ScenarioError
from fedsim.core.system.signals import Stopped
from fedsim.study.sweep import GridPoint, sweep

pytestmark = pytest.mark.slow

NOISY: dict[str, Any] = {
    "name": "noisy",
    "rounds": 6,
    "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]], "noise": 1.0},
    "model": {"name": "point", "init": [4.0]},
    "client": {"local_steps": 1, "lr": 0.5},
    "participation": {"kind": "bernoulli", "probabilities": 0.5},
}
SCENARIO = """\
name: noisy
rounds: 6
data: {dataset: quadratic, centers: [[0.0], [2.0], [6.0]], noise: 1.0}
model: {name: point, init: [4.0]}
client: {local_steps: 1, lr: 0.5}
participation: {kind: bernoulli, probabilities: 0.5}
sweep: {strategy.name: [fedavg, mifa], strategy.server_lr: [0.5, 1e30], seed: [1, 2]}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "s.yaml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture(scope="module")
def swept(file: Path) -> tuple[Path, int]:
    out = file.parent / "all"
    return out, main(["sweep", str(file), "--out", str(out), "--parallel", "2", "--quiet"])


def test_the_grid_is_run_whole_and_the_exit_code_is_the_worst(swept: tuple[Path, int]) -> None:
    out, code = swept
    table = pd.read_csv(out / "sweep.csv")
    assert code == 6
    axes = table[["strategy.name", "strategy.server_lr", "seed"]].values.tolist()
    assert axes == [[name, rate, seed] for name in ("fedavg", "mifa") for rate in (0.5, 1e30) for seed in (1, 2)]
    assert table["status"].tolist() == ["completed", "completed", "diverged", "diverged"] * 2
    assert table["error"].notna().tolist() == [False, False, True, True] * 2


def test_a_run_of_a_sweep_has_the_bits_of_the_run_alone(swept: tuple[Path, int], tmp_path: Path) -> None:
    table = pd.read_csv(swept[0] / "sweep.csv")
    alone = fedsim.run({**NOISY, "seed": 2}, out=tmp_path / "alone", strategy={"name": "mifa", "server_lr": 0.5})
    assert table.loc[5, "params_sha256"] == alone.summary["params_sha256"]
    assert table.loc[5, "test_loss"] == alone.final["test_loss"]
    assert (swept[0] / table.loc[5, "folder"] / "rounds.csv").exists()


def test_finished_runs_are_not_repeated_failed_ones_are_tried_again_and_seeds_are_averaged_over(
    swept: tuple[Path, int], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = pd.read_csv(swept[0] / "sweep.csv")
    assert main(["sweep", str(file), "--out", str(swept[0])]) == 6
    printed = capsys.readouterr()
    assert printed.out.count("completed (finished before)") == 4
    after = pd.read_csv(swept[0] / "sweep.csv")
    done = before["status"] == "completed"
    assert after["run"][done].tolist() == before["run"][done].tolist()
    assert printed.err.count("strategy.server_lr=1e+30, seed=") == 4
    lines = printed.out.splitlines()
    assert "mean ± 95 % over 2 seeds" in lines
    row = next(line.split() for line in lines if line.split()[:2] == ["fedavg", "0.5"])
    assert row[2] == "2/2"
    assert float(row[3]) == pytest.approx(before["test_loss"][:2].mean(), rel=1e-3)


def test_a_sweep_goes_on_with_new_values(swept: tuple[Path, int], file: Path) -> None:
    told: list[GridPoint] = []
    whole = {**NOISY, "sweep": {"strategy.name": ["mifa", "fedau"], "strategy.server_lr": [0.5], "seed": [1]}}
    sweep(whole, out=swept[0], tell=told.append)
    assert {p.words.split(",")[0]: p.outcome.recognised for p in told if p.outcome} == {
        "strategy.name=mifa": True,
        "strategy.name=fedau": False,
    }


@pytest.mark.slow
def test_a_worker_that_dies_takes_one_run_with_it(tmp_path: Path) -> None:
    def kill(point: GridPoint) -> None:
        if point.values["rounds"] == 3:
            for child in active_children():
                child.kill()
                child.join()

    whole = {**NOISY, "sweep": {"rounds": [3, 10_000_000, 4]}}
    found = sweep(whole, out=tmp_path / "all", parallel=2, tell=kill)
    assert [point.outcome.status for point in found.points if point.outcome] == ["completed", "failed", "completed"]
    assert found.failed[0].outcome
    assert "killed by SIGKILL" in str(found.failed[0].outcome.error)
    assert found.exit_code == 1
    assert not active_children()


@pytest.mark.slow
def test_an_interrupt_ends_the_workers_and_leaves_the_table(tmp_path: Path) -> None:
    def interrupt(point: GridPoint) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    whole = {**NOISY, "sweep": {"rounds": [3, 10_000_000]}}
    with pytest.raises(Stopped) as stopped:
        sweep(whole, out=tmp_path / "all", parallel=2, tell=interrupt)
    assert stopped.value.exit_code == 130
    assert not active_children()
    assert pd.read_csv(tmp_path / "all" / "sweep.csv")["status"].tolist() == ["completed", "not run"]


def test_every_wrong_combination_is_refused_before_anything_runs(tmp_path: Path) -> None:
    whole = {**NOISY, "sweep": {"strategy.name": ["fedavg", "fedvrap"], "client.lr": [0.1, -1]}}
    with pytest.raises(ScenarioError) as refused:
        sweep(whole, out=tmp_path / "all")
    assert "did you mean 'fedvarp'?" in str(refused.value)
    assert "client.lr" in str(refused.value)
    assert not (tmp_path / "all").exists()


def test_a_file_without_a_sweep_is_told_how_to_write_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO.rsplit("sweep:", 1)[0])
    assert main(["sweep", str(path), "--out", str(tmp_path / "all")]) == 2
    assert "has no `sweep:`; write for instance sweep: {seed: [1, 2, 3]}" in capsys.readouterr().err
